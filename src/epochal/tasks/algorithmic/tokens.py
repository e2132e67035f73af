"""How an equation becomes tokens: what the network sees, what it has to answer, what each token is called.

================  =====================================  ==================================================
form              tokens of ``5 + 7 = 12``               whose
================  =====================================  ==================================================
``operands``      ``5 7``                                MIML-grokking: sum only, no operator, no ``=``
``equals``        ``5 7 =``                              Nanda et al. 2023
``infix``         ``5 + 7 =``                            Power et al. 2022; Grokfast
``equation``      ``<|eos|> 5 + 7 =``                    openai/grok
================  =====================================  ==================================================

The answer is ``12``, or ``12 <|eos|>``. All of it but its last token is shown too (teacher forcing): the
network answers at the last T positions, the first of which is the last token above. An operator stands
between operands where it has two or more to join, before them where it is a function of a list.
"""

from dataclasses import dataclass
from typing import Literal

from epochal.core.values.source import is_own, parts_of
from epochal.tasks.algorithmic.operation import Operation
from epochal.tasks.algorithmic.permutations import NAMES as PERMUTATIONS

Tokens = Literal["operands", "equals", "infix", "equation"]
Answer = Literal["result", "result_and_end"]
Vocabulary = Literal["compact", "openai"]
Classes = Literal["answers", "vocabulary"]

END, EQUALS = "<|eos|>", "="
OPENAI = {
    "+": "+",
    "-": "-",
    "*": "*",
    "/": "/",
    "a^2+b": "**2+",
    "a^3+b": "**3+",
    "x^2+y^2": "x**2+y**2_mod_97",
    "x^2+y^2+xy": "x**2+y**2+x*y_mod_97",
    "x^2+y^2+xy+x": "x**2+y**2+x*y+x_mod_97",
    "x^3+xy": "x**3+x*y_mod_97",
    "x^3+xy^2+y": "x**3+x*y**2+y_mod_97",
    "mix1": "(x._value//y)if(y._value%2==1)else(x-y)_mod_97",
    "s5": "s5",
    "s5conj": "s5conj",
    "s5aba": "s5aba",
    "+*": "+*",
    "+-": "+-",
    "sort": "sort",
    "reverse": "reverse",
    "copy": "copy",
}
"""Operations with a token in openai/grok, and what it is called there."""


@dataclass(frozen=True, kw_only=True)
class Form:
    """``prompt`` holds the tokens before the answer; a negative number -1 - k stands for operand k.

    ``names[token]`` is what a token is called; element e is token ``first_element + e``. ``end`` is the token
    after the result where the answer includes it.
    """

    names: tuple[str, ...]
    first_element: int
    prompt: tuple[int, ...]
    end: int | None
    answer_length: int
    num_classes: int
    classes: Classes

    @property
    def vocabulary(self) -> int:
        return len(self.names)

    @property
    def sequence_length(self) -> int:
        """Tokens that the network sees."""
        return len(self.prompt) + self.answer_length - 1

    def spelt(self, tokens: list[int]) -> str:
        return " ".join(self.names[token] for token in tokens)


def form_of(
    operation: Operation,
    *,
    modulus: int,
    tokens: Tokens,
    answer: Answer,
    vocabulary: Vocabulary,
    classes: Classes,
) -> Form:
    """The form of an operation's equations.

    Raises:
        ValueError: the operator has no token in the vocabulary of openai/grok.
    """
    has_operator, has_end = tokens in ("infix", "equation"), answer == "result_and_end"
    operator = parts_of(operation.name)[0] if is_own(operation.name) else operation.name
    elements = (
        PERMUTATIONS if operation.kind == "permutations" else tuple(map(str, range(operation.num_elements)))
    )
    if vocabulary == "openai":
        if has_operator and operation.name not in OPENAI:
            raise ValueError(
                f"operation={operator} has no token in vocabulary=openai: give vocabulary=compact, or a form "
                "without operator, tokens=equals"
            )
        operator = OPENAI.get(operation.name, "")
        numbers = tuple(map(str, range(modulus)))
        names = (END, EQUALS, *sorted(OPENAI.values()), *numbers, *PERMUTATIONS)
        first = names.index(elements[0])
    else:
        further = {
            EQUALS: tokens != "operands",
            operator: has_operator,
            END: has_end or tokens == "equation",
        }
        names = (*elements, *(name for name, is_needed in further.items() if is_needed))
        first = 0
    operands = [-1 - place for place in range(operation.num_operands)]
    prompt = list(operands)
    if has_operator:
        sign = names.index(operator)
        is_prefix = operation.kind in ("sequence", "parity") or len(operands) == 1
        between = [part for operand in operands for part in (sign, operand)]
        prompt = [sign, *operands] if is_prefix else between[1:]
    prompt = [names.index(END), *prompt] if tokens == "equation" else prompt
    prompt = prompt if tokens == "operands" else [*prompt, names.index(EQUALS)]
    return Form(
        names=names,
        first_element=first,
        prompt=tuple(prompt),
        end=names.index(END) if has_end else None,
        answer_length=operation.answer_length + has_end,
        num_classes=len(names) if classes == "vocabulary" else len(elements) + has_end,
        classes=classes,
    )
