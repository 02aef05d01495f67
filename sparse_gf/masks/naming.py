"""What the names of layers say, in PyTorch's ways to write them and in Flax's."""

import functools
import re
from typing import NamedTuple

# Words for the same thing, by the word that stands for all of them here.
_MEANINGS = {
    "query": "q queries",
    "key": "k keys",
    "value": "v values",
    "out": "o",
    "attn": "att attention mha",
    "shortcut": "downsample skip residual",
    "encoder": "enc",
    "decoder": "dec",
    "embed": "embeds embedding embeddings emb wte wpe",
}
_MEANING = {word: m for m, words in _MEANINGS.items() for word in [m, *words.split()]}

# These say what kind of layer or container it is, which tells no two layers apart.
_PLAIN = """
    model models module modules net network params layer layers block blocks stage h
    dense linear lin fc conv convolution proj projection to w weight kernel self multi
    head heads multihead dot product general
"""
_NO_WORDS = frozenset(_PLAIN.split())

_TOKEN = re.compile(r"\d+|[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


class Name(NamedTuple):
    """The name of a layer, taken apart.

    Attributes:
        text: As it was given.
        pattern: Its tokens in small letters, ``"#"`` for numbers.
        numbers: The numbers in it.
        words: Those that tell layers apart, whatever the tool: ``q_proj`` and ``query``
            have the same.
        last: The words of its last part. Without any, such as ``attn.proj`` or
            ``encoder/Dense_0``, a layer has no name of its own.
    """

    text: str
    pattern: tuple[str, ...]
    numbers: tuple[int, ...]
    words: frozenset[str]
    last: frozenset[str]


@functools.cache
def parse(text: str) -> Name:
    """Takes apart the path of a kernel, or the name of a weight.

    Examples:
        >>> from sparse_gf.masks import naming
        >>> name = naming.parse("encoder.layers.3.self_attn.q_proj.weight")
        >>> sorted(name.words), name.numbers, naming.parse("fc2.weight").words
        (['attn', 'encoder', 'query'], (3,), frozenset())
    """
    # Of layers stacked in one array, the number is that of what the layer is in.
    plain = re.sub(r"([^/]+/[^/]+)\[([\d,]+)\]$", r"\2/\1", text)
    parts = [_tokens(part) for part in re.split(r"[./,]", plain)[:-1]]
    tokens = [token for part in parts for token in part]
    return Name(
        text,
        tuple("#" if token.isdecimal() else token for token in tokens),
        tuple(int(token) for token in tokens if token.isdecimal()),
        frozenset(word for part in parts for word in _words(part)),
        frozenset(_words(parts[-1])) if parts else frozenset(),
    )


def is_embedding(name: Name) -> bool:
    """Whether a weight is called as embeddings are."""
    return "embed" in name.last


def _tokens(part: str) -> list[str]:
    """``"MlpBlock_0"`` as mlp, block, 0; ``"Conv2d"`` as conv; ``"c_fc"`` whole."""
    plain = re.sub(r"^c_(?=[a-z])", "c", re.sub(r"(?i)conv[123]d", "Conv", part))
    return [token.lower() for token in _TOKEN.findall(plain)]


def _words(tokens: list[str]) -> list[str]:
    """What the tokens of one part mean; ``wq`` is a query."""
    plain = [token for token in tokens if not token.isdecimal()]
    short = [token[1:] if re.fullmatch("w[qkvo]", token) else token for token in plain]
    found = [_MEANING.get(token, token) for token in short]
    return [word for word in found if word not in _NO_WORDS]
