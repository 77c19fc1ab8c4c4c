"""Wyckoff letters that are equivalent, for each space group.

The letters of a crystal depend on the choice of its origin and axes. Sodium chloride
has sodium on the position "a" and chlorine on "b", or the other way around, depending
on which of them is at the origin.
"""

from collections.abc import Mapping
from functools import cache
from string import ascii_lowercase
from types import MappingProxyType

# The 27 Wyckoff positions of Pmmm need one more letter. spglib calls it A.
_ALPHABET = ascii_lowercase + "A"


@cache
def relabelings(space_group: int) -> list[dict[int, int]]:
    """Return all relabelings of Wyckoff letters that describe the same crystal.

    Parameters
    ----------
    space_group : int
        Number of the space group.

    Returns
    -------
    list of dict
        Tables for :meth:`str.translate`. The first one leaves all letters as they are.
    """
    reached = [_ALPHABET]
    seen = set(reached)
    for letters in reached:  # grows during the loop
        for generator in _GENERATORS.get(space_group, ()):
            table = str.maketrans(_ALPHABET[: len(generator)], generator)
            relabeled = letters.translate(table)
            if relabeled not in seen:
                seen.add(relabeled)
                reached.append(relabeled)
    return [str.maketrans(_ALPHABET, letters) for letters in reached]


# The mirror image of a crystal is the same prototype. It may have another space group,
# with the same letters.
MIRROR_IMAGES: Mapping[int, int] = MappingProxyType(
    {
        78: 76,
        95: 91,
        96: 92,
        145: 144,
        153: 151,
        154: 152,
        170: 169,
        172: 171,
        179: 178,
        181: 180,
        213: 212,
    }
)

# Each string replaces the letters a, b, c, ... in order. These replacements and their
# products are all that arise from affine maps under which the operations of the space
# group remain the same as a whole (its affine normalizer). They were computed from the
# operations in the tables of spglib. Space groups with a single choice of letters are
# left out.
_GENERATORS: Mapping[int, tuple[str, ...]] = MappingProxyType(
    {
        2: ("abcfhdgei", "abdcegfhi", "acbdfeghi", "bacfedghi"),
        3: ("abdce", "acbde", "bacde"),
        5: ("bac",),
        6: ("bac",),
        10: (
            "abcghfdeilkjmno",
            "abdcfeghikjlmno",
            "cfadebghkjilmno",
            "bafedchgijklnmo",
        ),
        11: ("abdcef", "acbdef", "bacdef"),
        12: ("abcdfeghij", "bacdefghij", "cdabefhgij"),
        13: ("cdabefg", "badcfeg"),
        14: ("cbade", "badce"),
        15: ("bacdef", "cdabef"),
        16: ("abdcfeghikjlqsrtmonpu", "ebchafgdopmnklijtrsqu", "baefcdhgijklopmnrqtsu"),
        17: ("bacde", "cdabe"),
        18: ("bac",),
        20: ("bac",),
        21: ("abcdghefijkl", "badcefghjikl", "dcbafehgijkl"),
        22: ("bacdefghijk", "abcdfeghjik", "cdabhijefgk"),
        23: ("abdcefijghk", "acbdijghefk", "bacdefjihgk"),
        24: ("acbd", "bacd"),
        25: ("acbdghefi", "badcfeghi"),
        26: ("bac",),
        27: ("dbcae", "badce"),
        28: ("bacd",),
        30: ("bac",),
        32: ("bac",),
        34: ("bac",),
        35: ("abcedf", "bacdef"),
        37: ("bacd",),
        38: ("bacedf",),
        39: ("bacd",),
        42: ("abdce",),
        44: ("abdce", "bacde"),
        45: ("bac",),
        47: (
            "abefcdghikjlqrstmnopuvyzwxA",
            "acbdegfhqsrtmonpikjlyzwxuvA",
            "badcfehgijklopmnstqrvuwxyzA",
        ),
        48: ("abcdfeghijklm", "abdcefghklijm", "acbdefklijghm", "bacdefghlkjim"),
        49: ("bacdhfgelkjinmopqr", "cdabghefjiklopmnqr"),
        50: ("abcdefijghklm", "badcefghijlkm", "dcbafehgjiklm"),
        51: ("cdabefhgijkl", "badcfeghjikl"),
        52: ("bacde",),
        53: ("badcefghi", "cdabfeghi"),
        54: ("bacedf",),
        55: ("badcefhgi", "cdabfeghi"),
        56: ("abdce", "bacde"),
        57: ("bacde",),
        58: ("bacdefgh", "cdabfegh"),
        59: ("abcdfeg", "abdcefg", "bacdefg"),
        60: ("bacd",),
        61: ("bac",),
        62: ("bacd",),
        63: ("bacdefgh",),
        64: ("bacdefg",),
        65: ("abcdefijghklmonpqr", "badcefghijlkmnopqr", "dcbafehgjiklmnoqpr"),
        66: ("abcdefhgijklm", "abcdfeghijklm", "badcefghjiklm"),
        67: ("abefcdgjkhilnmo", "badcfegihkjlmno"),
        68: ("bacdefghi", "abdcfeghi"),
        69: ("bacdefghijklmnop", "abcedfgihkjlmonp", "abdcefhgijlknmop"),
        70: ("abcdegfh", "abcdfegh", "badcefgh"),
        71: ("abdcefijghklnmo", "acbdijghefknmlo", "bacdefjihgklnmo"),
        72: ("abcdegfhijk", "badcefgihjk"),
        73: ("abdecf", "bacedf"),
        74: ("bacdefghij", "cdabegfihj"),
        75: ("bacd",),
        77: ("bacd",),
        81: ("badcefgh", "cdabfegh"),
        82: ("bacdefg", "cdabfeg"),
        83: ("cdabefhgijkl", "badcfeghikjl"),
        84: ("abdcefghijk", "bacdfehgijk"),
        85: ("bacedfg",),
        86: ("abdcefg", "bacdefg"),
        87: ("bacdefghi",),
        88: ("badcef",),
        89: ("cdabefhgijkonmlp", "badcfeghikjnolmp"),
        90: ("bacdfeg",),
        91: ("bacd",),
        93: ("abcdefghijklmonp", "abdcefghilmjknop", "bacdfehgikjmlnop"),
        94: ("abcdfeg", "bacdefg"),
        95: ("bacd",),
        97: ("bacdefgihjk",),
        98: ("abcedfg", "bacdefg"),
        99: ("bacdfeg",),
        101: ("bacde",),
        103: ("bacd",),
        105: ("bacedf",),
        111: ("cdabfeghklijmno", "dcbaefhglkjimno"),
        112: ("adcbefjihgklmn", "cbadfehgjilkmn"),
        113: ("bacdef",),
        114: ("bacde",),
        115: ("dcbaefgihjkl", "badcfeghikjl"),
        116: ("abcdfeghij", "badcefhgij"),
        117: ("badcefhgi",),
        118: ("abcdegfhi", "abdcefghi", "bacdefghi"),
        119: ("bacdefghij", "cdabfehgij"),
        120: ("dcbahgfei",),
        121: ("bacdegfhij",),
        122: ("bacde",),
        123: ("cdabefhgijknolmpqrtsu", "badcfeghikjmlonqprstu"),
        124: ("cdabefhgijlkmn",),
        125: ("badcfeghjilkmn",),
        126: ("bacdefghjik",),
        127: ("badcefhgjikl",),
        128: ("bacdefghi",),
        129: ("bacedfhgijk",),
        131: ("abdcefghilmjknopqr", "bacdfehgikjmlnpoqr"),
        132: ("abcdefghjiklmnop", "cdabefhgijkmlnop"),
        133: ("abcdefgihjk",),
        134: ("abcdfeghijlkmn", "bacdefghjiklmn"),
        136: ("abcdegfhijk", "bacdefghijk"),
        137: ("bacdefgh",),
        138: ("abdcefhgij",),
        139: ("bacdefghjiklmno",),
        141: ("badcefghi",),
        143: ("acbd", "bacd"),
        147: ("bacdfeg",),
        148: ("bacedf",),
        149: ("abefcdgihjkl", "cdabefhgijkl", "badcfeghikjl"),
        150: ("bacdfeg",),
        151: ("bac",),
        152: ("bac",),
        153: ("bac",),
        154: ("bac",),
        155: ("bacedf",),
        156: ("acbde", "bacde"),
        158: ("acbd", "bacd"),
        162: ("badcegfhjikl",),
        163: ("abdcefghi",),
        164: ("bacdfehgij",),
        166: ("bacedgfhi",),
        174: ("abefcdgihjkl", "cdabefhgijkl", "badcfeghikjl"),
        175: ("badcegfhikjl",),
        176: ("abdcefghi",),
        177: ("badcegfhikjmln",),
        180: ("badcefhgjik",),
        181: ("badcefhgjik",),
        182: ("abdcefghi",),
        187: ("abefcdgihjklmno", "cdabefhgijklmno", "badcfeghikjmlno"),
        188: ("abefcdgihjkl", "cdabefhgijkl"),
        189: ("badcegfhikjl",),
        190: ("abdcefghi",),
        191: ("badcegfhikjmlnoqpr",),
        194: ("abdcefghijkl",),
        195: ("abcdefhgij", "badceighfj"),
        196: ("bacdefgh", "cdabegfh"),
        200: ("abcdegfhijkl", "badchfgeikjl"),
        201: ("acbdefgh",),
        202: ("bacdefghi",),
        203: ("badcefg",),
        205: ("bacd",),
        206: ("bacde",),
        207: ("badcfeghjik",),
        208: ("abcdfeghjiklm", "acbdefghijlkm"),
        209: ("bacdefhgij",),
        210: ("badcefgh",),
        212: ("bacde",),
        213: ("bacde",),
        214: ("badcefhgi",),
        215: ("badcegfhij",),
        216: ("bacdefghi", "cdabegfhi"),
        218: ("abdcefhgi",),
        219: ("badcegfh",),
        220: ("bacde",),
        221: ("badcfeghjilkmn",),
        223: ("abdcefhgijkl",),
        224: ("acbdefghjikl",),
        225: ("bacdefgihjkl",),
        227: ("badcefghi",),
    }
)
