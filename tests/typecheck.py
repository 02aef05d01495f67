"""The type checker of the test run: beartype, with ints allowed where floats are."""

import beartype

checked = beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))
