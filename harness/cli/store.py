"""`harness store`."""

from enum import StrEnum
from typing import Annotated

import typer

from harness.cli.options import STORE, JsonOption, StoreOption
from harness.cli.output import Output

EXAMPLES = (
    "harness store upgrade",
    "harness store upgrade --store postgresql+psycopg://me@server/results",
)


class Action(StrEnum):
    """What can be done with a store."""

    upgrade = "upgrade"


def command(
    action: Annotated[
        Action, typer.Argument(metavar="ACTION", help="upgrade: to the tables that this harness writes.")
    ],
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> int:
    """Bring a store of an earlier harness up to date, after a copy of it; nothing in it is lost or trained again.

    A file is brought up to date by the first command that opens it, too; tables on a server only here, where other
    people's harness may still use them.
    """
    from harness.storage.opening import upgrade
    from harness.storage.schema import HEAD

    output = Output("store", as_json=as_json)
    database, before, copy = upgrade(store)
    database.close()
    if copy is None:
        output.say(f"store {database.name}: up to date (schema {HEAD})")
    else:
        output.say(f"store {database.name}: from schema {before} to {HEAD}; as it was, it is kept in {copy}")
    return output.finish({"store": database.name, "before": before, "schema": HEAD, "copy": copy})
