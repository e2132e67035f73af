"""Token tasks with a complete table of answers: when does a network that memorised it generalise?"""
