"""Stands in for jaxtyping where that is not installed: annotations, never looked at."""

from typing import Any


class _Annotation:
    def __class_getitem__(cls, _: Any) -> Any:
        return Any


Array = PRNGKeyArray = Any
Bool = Float = Int = Int32 = Num = Real = UInt8 = _Annotation
