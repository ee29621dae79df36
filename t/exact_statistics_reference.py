"""Reference for t/012_exact_statistics.pl: variances, correlation and regression by integers.

Reads lines "group<TAB>y<TAB>x", prints for each group "group" and the results as the bits of doubles, in hexadecimal,
in the order of RESULTS. "overflow" stands for a result out of range, \\N for null.
"""
import math
import struct
import sys
from collections import defaultdict

SCALE = 1074  # every double is an integer times 2**-SCALE
RESULTS = ("var_pop var_samp stddev_pop stddev_samp covar_pop covar_samp corr avgx avgy sxx syy sxy r2 slope "
           "intercept").split()


def as_integer(value):
    numerator, denominator = value.as_integer_ratio()
    return numerator * ((1 << SCALE) // denominator)


def bits(value):
    return value if isinstance(value, str) else struct.pack(">d", value).hex()


def sign(value):
    return (value > 0) - (value < 0)


def ratio(numerator, denominator, scale=0):
    """numerator / denominator * 2**(-SCALE * scale): int / int is rounded once. Zero is +0."""
    try:
        return numerator / (denominator << SCALE * scale) + 0.0
    except OverflowError:
        return "overflow"


def root(numerator, denominator, scale=0):
    """The same of the square root, with the sign of the numerator, from 300 bits of it and whether any follow."""
    denominator <<= 2 * SCALE * scale
    up = 300 + max(denominator.bit_length() - numerator.bit_length() + 1, 0) // 2
    quotient, rest = divmod(abs(numerator) << 2 * up, denominator)
    whole = math.isqrt(quotient)
    inexact = rest != 0 or whole * whole != quotient
    return ratio(sign(numerator) * (2 * whole + inexact), 2 << up)


def results(pairs):
    n = len(pairs)
    ys, xs = [[as_integer(value) for value in column] for column in zip(*pairs)]
    sx, sy = sum(xs), sum(ys)
    xx = n * sum(x * x for x in xs) - sx * sx
    yy = n * sum(y * y for y in ys) - sy * sy
    xy = n * sum(x * y for x, y in zip(xs, ys)) - sx * sy
    null = "\\N"
    return {
        "var_pop": ratio(xx, n * n, 2),
        "var_samp": ratio(xx, n * (n - 1), 2) if n > 1 else null,
        "stddev_pop": root(xx, n * n, 1),
        "stddev_samp": root(xx, n * (n - 1), 1) if n > 1 else null,
        "covar_pop": ratio(xy, n * n, 2),
        "covar_samp": ratio(xy, n * (n - 1), 2) if n > 1 else null,
        "corr": root(sign(xy) * xy * xy, xx * yy) if xx and yy else null,
        "avgx": ratio(sx, n, 1),
        "avgy": ratio(sy, n, 1),
        "sxx": ratio(xx, n, 2),
        "syy": ratio(yy, n, 2),
        "sxy": ratio(xy, n, 2),
        "r2": null if not xx else ratio(xy * xy, xx * yy) if yy else 1.0,
        "slope": ratio(xy, xx) if xx else null,
        "intercept": ratio(sy * xx - sx * xy, n * xx, 1) if xx else null,
    }


def main():
    groups = defaultdict(list)
    for line in sys.stdin:
        group, y, x = line.split()
        groups[group].append((float(y), float(x)))
    for group, pairs in groups.items():
        result = results(pairs)
        print(group, *(bits(result[name]) for name in RESULTS), sep="\t")


main()
