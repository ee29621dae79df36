"""Reference for t/010_exact_sum.pl: exact sums by two other ways, math.fsum and integers.

Reads lines "group<TAB>number", prints for each group "group<TAB>sum<TAB>average" as the bits of doubles, in
hexadecimal. With the argument float4, the sum is that of a float4. "overflow" stands for a sum out of range.
"""
import math
import struct
import sys
from collections import defaultdict

SCALE = 1074  # every double is an integer times 2**-SCALE


def as_integer(value):
    numerator, denominator = value.as_integer_ratio()
    return numerator * ((1 << SCALE) // denominator)


def as_float4(total):
    """The nearest float4, ties to even, of a sum of float4: those are integers times 2**-149."""
    magnitude = abs(total) >> (SCALE - 149)
    drop = max(magnitude.bit_length() - 24, 0)
    kept, rest = magnitude >> drop, magnitude & ((1 << drop) - 1)
    if drop and (2 * rest > 1 << drop or (2 * rest == 1 << drop and kept & 1)):
        kept += 1
    if kept << drop >= 1 << (128 + 149):
        return "overflow"
    value = math.ldexp(kept << drop, -149)
    return struct.pack(">f", -value if total < 0 else value).hex()


def quotient(numerator, denominator):
    """int / int is rounded once; None when out of range."""
    try:
        return numerator / denominator
    except OverflowError:
        return None


def bits(value):
    return "overflow" if value is None else struct.pack(">d", value).hex()


def main():
    groups = defaultdict(list)
    for line in sys.stdin:
        group, text = line.split()
        groups[group].append(float(text))
    for group, values in groups.items():
        total = sum(map(as_integer, values))
        value = quotient(total, 1 << SCALE)
        try:
            if math.fsum(values) != value:
                sys.exit(f"group {group}: math.fsum and integers differ")
        except OverflowError:
            pass  # in the middle, perhaps; the integers don't
        average = quotient(total, len(values) << SCALE)
        result = as_float4(total) if sys.argv[1:] == ["float4"] else bits(value)
        print(group, result, bits(average), sep="\t")


main()
