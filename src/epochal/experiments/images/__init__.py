"""Any labelled image set with any network: digits, MNIST and CIFAR-10 files, MedMNIST's containers."""
