"""Stands in for jaxtyping where that is not installed: annotations, never looked at."""

from typing import Any


class _Annotation:
    def __class_getitem__(cls, _: Any) -> Any:
        return Any


Array = PRNGKeyArray = Any
Bool = Float = Inexact = Int = Int32 = Integer = Num = Real = Shaped = _Annotation
UInt8 = _Annotation
