"""Settings that were given and mean nothing beside the others: a modulus of permutations."""

import re

from epochal.core.values.errors import UserError
from epochal.core.values.request import Request


def refuse_meaningless(request: Request) -> Request:
    """The request, if each setting in it that was given means something for one of its members.

    One with several values has to for all of them, or the same network would be trained several times; in a
    zip, where each member has to have some value, it has not. Defaults and what a preset sets may mean
    nothing. Asked of new requests only: a stored run is what it is.

    Raises:
        UserError: one does not.
    """
    problems = []
    for name, text in request.settings:
        fields = re.findall(r"([A-Za-z_]\w*)=", text) if name == "zip" else [name]
        has_several = name != "zip" and name in request.varied
        for field in fields:
            reasons = [member.meaningless().get(field) for member in request.members]
            found = [reason for reason in reasons if reason]
            if found and (has_several or len(found) == len(reasons)):
                given = field if name == "zip" else f"{field}={text}"
                problems.append(f"{given} {found[0]}")
    if problems:
        raise UserError("\n".join(problems))
    return request
