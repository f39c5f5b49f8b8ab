//! Elementary functions to the last bit as Go computes them on x86-64.
//!
//! C libraries, and Rust with them, round some results differently, and answers are compared digit by digit. The methods
//! are the published ones that Go uses: Cephes for circular functions and `tanh`, FreeBSD's msun for logarithms and
//! the inverse hyperbolic ones, Hart & Cheney for `sinh`, Shibata's SLEEF for `exp`. The order of operations is part
//! of each method. Multiplications are fused with additions in `exp` only, as Go does where the processor can.

#![expect(
    clippy::excessive_precision,
    reason = "constants are written with the digits they were published with"
)]

use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, LN_2, LOG2_E, LOG10_E, PI};

/// The polynomial with these coefficients, highest power first.
fn polynomial(coefficients: &[f64], x: f64) -> f64 {
    coefficients.iter().fold(0.0, |sum, coefficient| sum * x + coefficient)
}

/// The same with a leading coefficient of 1, which is left out.
fn monic(coefficients: &[f64], x: f64) -> f64 {
    coefficients.iter().fold(1.0, |sum, coefficient| sum * x + coefficient)
}

/// `f` of the absolute value with the sign of `x`, for odd functions.
fn odd(x: f64, f: impl FnOnce(f64) -> f64) -> f64 {
    if x < 0.0 { -f(-x) } else { f(x) }
}

/// Mantissa in [0.5, 1) and exponent of a positive finite number.
fn parts(x: f64) -> (f64, i32) {
    let (x, shift) = if x < f64::MIN_POSITIVE { (x * 4_503_599_627_370_496.0, -52) } else { (x, 0) };
    let bits = x.to_bits();
    let mantissa = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | 0x3fe0_0000_0000_0000);
    (mantissa, ((bits >> 52) & 0x7ff) as i32 - 1022 + shift)
}

/// e^x
pub fn exp(x: f64) -> f64 {
    const LN_2_HIGH: f64 = 0.693_147_180_559_662_956_511_601_805_686_950_683_593_75;
    const LN_2_LOW: f64 = 0.282_352_905_630_315_771_225_884_481_750_134_360_255_254_120_68e-12;
    // Of the Taylor series: 1/8!, 1/7!, … 1/2!, 1/1!
    const SERIES: [f64; 8] = [
        2.480_158_730_158_730_158_7e-5,
        1.984_126_984_126_984_127e-4,
        1.388_888_888_888_888_888_9e-3,
        8.333_333_333_333_333_333_3e-3,
        4.166_666_666_666_666_666_7e-2,
        1.666_666_666_666_666_666_7e-1,
        0.5,
        1.0,
    ];
    if x.is_nan() || x == f64::INFINITY {
        return x;
    }
    if x > 709.782_712_893_384 {
        return f64::INFINITY;
    }
    if x < -746.0 {
        return 0.0;
    }
    let power = (x * LOG2_E).round_ties_even();
    if power > 1023.0 {
        // A little early: the largest results would still be finite, but not in Go.
        return f64::INFINITY;
    }
    let reduced = (-power).mul_add(LN_2_LOW, (-power).mul_add(LN_2_HIGH, x)) * 0.0625;
    let series = SERIES[1..].iter().fold(SERIES[0], |sum, coefficient| sum.mul_add(reduced, *coefficient));
    // e^r − 1 for a sixteenth of the argument; four squarings make it that of the whole.
    let mut less_one = reduced * series;
    for _ in 0..3 {
        less_one *= less_one + 2.0;
    }
    let result = less_one.mul_add(less_one + 2.0, 1.0);
    // In two factors, so that results below the smallest normal number are rounded once.
    let half = (power / 2.0).trunc();
    result * half.exp2() * (power - half).exp2()
}

/// 2^x
pub fn exp2(x: f64) -> f64 {
    /// Of the rational approximation of e^r, r up to ln(2)/2.
    const P: [f64; 5] = [
        4.138_136_797_057_238_460_39e-8,
        -1.653_390_220_546_525_153_90e-6,
        6.613_756_321_437_934_361_17e-5,
        -2.777_777_777_701_559_338_42e-3,
        1.666_666_666_666_666_574_15e-1,
    ];
    if x.is_nan() || x == f64::INFINITY || x > 1_023.999_999_999_999_9 {
        return if x.is_nan() { x } else { f64::INFINITY };
    }
    if x < -1074.0 {
        return 0.0;
    }
    let power = if x > 0.0 { (x + 0.5).trunc() } else { (x - 0.5).trunc() };
    let rest = x - power;
    let (high, low) = (rest * LN_2_HIGH, -rest * LN_2_LOW);
    let reduced = high - low;
    let square = reduced * reduced;
    let correction = reduced - square * polynomial(&P, square);
    let result = 1.0 - ((low - (reduced * correction) / (2.0 - correction)) - high);
    let half = (power / 2.0).trunc();
    result * half.exp2() * (power - half).exp2()
}

/// Coefficients of log(1+f) around 0, in even powers of f/(2+f).
const LOG_SERIES: [f64; 7] = [
    6.666_666_666_666_735_130e-1,
    3.999_999_999_940_941_908e-1,
    2.857_142_874_366_239_149e-1,
    2.222_219_843_214_978_396e-1,
    1.818_357_216_161_805_012e-1,
    1.531_383_769_920_937_332e-1,
    1.479_819_860_511_658_591e-1,
];
const LN_2_HIGH: f64 = 6.931_471_803_691_238_164_90e-1;
const LN_2_LOW: f64 = 1.908_214_929_270_587_700_02e-10;

/// Natural logarithm.
pub fn ln(x: f64) -> f64 {
    if x.is_nan() || x == f64::INFINITY {
        return x;
    }
    if x <= 0.0 {
        return if x == 0.0 { f64::NEG_INFINITY } else { f64::NAN };
    }
    // Go's machine code does not scale subnormal numbers first and is wrong for them; so are we.
    let bits = x.to_bits();
    let mut mantissa = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | 0x3fe0_0000_0000_0000);
    let mut exponent = ((bits >> 52) & 0x7ff) as i32 - 1022;
    if mantissa < std::f64::consts::FRAC_1_SQRT_2 {
        mantissa *= 2.0;
        exponent -= 1;
    }
    let (f, power) = (mantissa - 1.0, f64::from(exponent));
    let [l1, l2, l3, l4, l5, l6, l7] = LOG_SERIES;
    let s = f / (2.0 + f);
    let s2 = s * s;
    let s4 = s2 * s2;
    let rest = s2 * polynomial(&[l7, l5, l3, l1], s4) + s4 * polynomial(&[l6, l4, l2], s4);
    let half_square = 0.5 * f * f;
    power * LN_2_HIGH - ((half_square - (s * (half_square + rest) + power * LN_2_LOW)) - f)
}

/// Logarithm to base 2, exact for powers of two.
pub fn log2(x: f64) -> f64 {
    if x.is_nan() || x <= 0.0 || x == f64::INFINITY {
        return ln(x);
    }
    let (mantissa, exponent) = parts(x);
    if mantissa == 0.5 {
        return f64::from(exponent - 1);
    }
    ln(mantissa) * LOG2_E + f64::from(exponent)
}

/// Logarithm to base 10.
pub fn log10(x: f64) -> f64 {
    ln(x) * LOG10_E
}

/// ln(1 + x), also for tiny x.
fn ln_1p(x: f64) -> f64 {
    const SQRT_2_LESS_1: f64 = 4.142_135_623_730_950_488_017e-1;
    const HALF_SQRT_2_LESS_1: f64 = -2.928_932_188_134_524_755_992e-1;
    const MANTISSA_OF_SQRT_2: u64 = 0x0006_a09e_667f_3bcd;
    if x.is_nan() || x < -1.0 {
        return f64::NAN;
    }
    if x == -1.0 || x == f64::INFINITY {
        return if x < 0.0 { f64::NEG_INFINITY } else { x };
    }
    let magnitude = x.abs();
    if magnitude < f64::from_bits(0x3c90_0000_0000_0000) {
        return x; // below 2^-54
    }
    if magnitude < f64::from_bits(0x3e20_0000_0000_0000) {
        return x - x * x * 0.5; // below 2^-29
    }
    // 1 + x = 2^power × (1 + f), and what rounding 1 + x has lost.
    let (mut power, mut f, mut lost, mut tiny) = (0.0, x, 0.0, false);
    if magnitude >= SQRT_2_LESS_1 || x <= HALF_SQRT_2_LESS_1 {
        let sum = if magnitude < 9_007_199_254_740_992.0 { 1.0 + x } else { x };
        let mut exponent = ((sum.to_bits() >> 52) & 0x7ff) as i32 - 1023;
        if magnitude < 9_007_199_254_740_992.0 {
            lost = if exponent > 0 { 1.0 - (sum - x) } else { x - (sum - 1.0) } / sum;
        }
        let mut mantissa = sum.to_bits() & 0x000f_ffff_ffff_ffff;
        if mantissa < MANTISSA_OF_SQRT_2 {
            f = f64::from_bits(mantissa | 0x3ff0_0000_0000_0000) - 1.0;
        } else {
            exponent += 1;
            f = f64::from_bits(mantissa | 0x3fe0_0000_0000_0000) - 1.0;
            mantissa = (0x0010_0000_0000_0000 - mantissa) >> 2;
        }
        power = f64::from(exponent);
        tiny = mantissa == 0;
    }
    let half_square = 0.5 * f * f;
    if tiny {
        if f == 0.0 {
            return if power == 0.0 { 0.0 } else { power * LN_2_HIGH + (lost + power * LN_2_LOW) };
        }
        let rest = half_square * (1.0 - 0.666_666_666_666_666_66 * f);
        if power == 0.0 {
            return f - rest;
        }
        return power * LN_2_HIGH - ((rest - (power * LN_2_LOW + lost)) - f);
    }
    let s = f / (2.0 + f);
    let z = s * s;
    let [l1, l2, l3, l4, l5, l6, l7] = LOG_SERIES;
    let rest = z * polynomial(&[l7, l6, l5, l4, l3, l2, l1], z);
    if power == 0.0 {
        return f - (half_square - s * (half_square + rest));
    }
    power * LN_2_HIGH - ((half_square - (s * (half_square + rest) + (power * LN_2_LOW + lost))) - f)
}

const SIN: [f64; 6] = [
    1.589_623_015_765_465_680_60e-10,
    -2.505_074_776_285_780_728_66e-8,
    2.755_731_362_138_572_452_13e-6,
    -1.984_126_982_958_953_859_96e-4,
    8.333_333_333_322_118_588_78e-3,
    -1.666_666_666_666_663_072_95e-1,
];
const COS: [f64; 6] = [
    -1.135_853_652_138_768_173_00e-11,
    2.087_570_084_197_473_167_78e-9,
    -2.755_731_417_929_673_881_12e-7,
    2.480_158_728_885_170_453_48e-5,
    -1.388_888_888_887_305_641_16e-3,
    4.166_666_666_666_659_292_18e-2,
];

/// A positive angle as a multiple of π/4, made even and taken modulo 8, and what is left of the angle.
fn octant(x: f64) -> (u64, f64) {
    // π/4 in three parts, the first two with zeros at the end, so that small multiples are exact.
    const PARTS: [f64; 3] =
        [7.853_981_256_484_985_351_56e-1, 3.774_894_707_930_798_176_68e-8, 2.695_151_429_079_059_526_45e-15];
    if x >= 536_870_912.0 {
        return octant_of_large(x);
    }
    let octants = (x * (4.0 / PI)) as u64;
    let octants = octants + (octants & 1);
    let rest = PARTS.iter().fold(x, |rest, part| rest - octants as f64 * part);
    (octants & 7, rest)
}

/// [`octant`] for angles of 2^29 and more: Payne and Hanek's reduction with 192 bits of 4/π.
fn octant_of_large(x: f64) -> (u64, f64) {
    /// 4/π in binary; the first word is what stands before the point.
    const FOUR_OVER_PI: [u64; 20] = [
        0x0000_0000_0000_0001,
        0x45f3_06dc_9c88_2a53,
        0xf84e_afa3_ea69_bb81,
        0xb6c5_2b32_7887_2083,
        0xfca2_c757_bd77_8ac3,
        0x6e48_dc74_849b_a5c0,
        0x0c92_5dd4_13a3_2439,
        0xfc3b_d639_6253_4e7d,
        0xd104_6bea_5d76_8909,
        0xd338_e04d_68be_fc82,
        0x7323_ac73_06a6_73e9,
        0x3908_bf17_7bf2_5076,
        0x3ff1_2fff_bc0b_301f,
        0xde5e_2316_b414_da3e,
        0xda6c_fd9e_4f96_136e,
        0x9e8c_7ecd_3cbf_d45a,
        0xea4f_758f_d7cb_e2f6,
        0x7a0e_73ef_14a5_25d4,
        0xd7f6_bf62_3f1a_ba10,
        0xac06_608d_f8f6_d757,
    ];
    let bits = x.to_bits();
    let mantissa = (bits & 0x000f_ffff_ffff_ffff) | 0x0010_0000_0000_0000;
    // Of a finite number of 2^29 or more: between −23 and 971.
    let exponent = ((bits >> 52) & 0x7ff) as i64 - 1023 - 52;
    let first = (exponent + 61) as usize / 64;
    let shift = (exponent + 61) as u32 % 64;
    let word = |at: usize| {
        let pair = (u128::from(FOUR_OVER_PI[first + at]) << 64) | u128::from(FOUR_OVER_PI[first + at + 1]);
        ((pair << shift) >> 64) as u64
    };
    // The three words times the mantissa; only the upper two words of the product below 8 matter.
    let low =
        u128::from(word(1)) * u128::from(mantissa) + ((u128::from(word(2)) * u128::from(mantissa)) >> 64);
    let high = word(0).wrapping_mul(mantissa).wrapping_add((low >> 64) as u64);
    let product = (u128::from(high) << 64) | u128::from(low as u64);
    let octants = (product >> 125) as u64;
    let fraction = (product >> 61) as u64;
    let zeros = fraction.leading_zeros() + 1;
    // Go fills up from the lower word without moving it by the three bits of the octant; only digits that the
    // fraction's leading zeros make visible are wrong by it.
    let filler = (product as u64).checked_shr(64 - zeros.min(64)).unwrap_or(0);
    let digits = fraction.checked_shl(zeros).unwrap_or(0) | filler;
    let rest = f64::from_bits((digits >> 12) | (u64::from(1023 - zeros) << 52));
    if octants & 1 == 1 { ((octants + 1) & 7, (rest - 1.0) * FRAC_PI_4) } else { (octants, rest * FRAC_PI_4) }
}

fn sin_of_rest(rest: f64) -> f64 {
    let square = rest * rest;
    rest + rest * square * polynomial(&SIN, square)
}

fn cos_of_rest(rest: f64) -> f64 {
    let square = rest * rest;
    1.0 - 0.5 * square + square * square * polynomial(&COS, square)
}

/// Sine of an angle in radians.
pub fn sin(x: f64) -> f64 {
    if x == 0.0 || !x.is_finite() {
        return if x == 0.0 { x } else { f64::NAN };
    }
    odd(x, |x| {
        let (octant, rest) = octant(x);
        let value = if octant & 3 == 2 { cos_of_rest(rest) } else { sin_of_rest(rest) };
        if octant > 3 { -value } else { value }
    })
}

/// Cosine of an angle in radians.
pub fn cos(x: f64) -> f64 {
    if !x.is_finite() {
        return f64::NAN;
    }
    let (octant, rest) = octant(x.abs());
    let value = if octant & 3 == 2 { sin_of_rest(rest) } else { cos_of_rest(rest) };
    if matches!(octant, 2 | 4) { -value } else { value }
}

/// Tangent of an angle in radians.
pub fn tan(x: f64) -> f64 {
    const P: [f64; 3] =
        [-1.309_369_391_813_837_776_46e4, 1.153_516_648_385_874_161_40e6, -1.795_652_519_764_848_779_88e7];
    const Q: [f64; 4] = [
        1.368_129_634_706_929_546_78e4,
        -1.320_892_344_402_109_674_47e6,
        2.500_838_018_233_579_158_39e7,
        -5.386_957_559_294_546_298_81e7,
    ];
    if x == 0.0 || !x.is_finite() {
        return if x == 0.0 { x } else { f64::NAN };
    }
    odd(x, |x| {
        let (octant, rest) = octant(x);
        let square = rest * rest;
        let value = if square > 1e-14 {
            rest + rest * (square * polynomial(&P, square) / monic(&Q, square))
        } else {
            rest
        };
        if octant & 2 == 2 { -1.0 / value } else { value }
    })
}

/// Arc tangent of a number that is not negative.
fn atan_of_positive(x: f64) -> f64 {
    const P: [f64; 5] = [
        -8.750_608_600_031_904_122_785e-1,
        -1.615_753_718_733_365_076_637e1,
        -7.500_855_792_314_704_667_340e1,
        -1.228_866_684_490_136_173_410e2,
        -6.485_021_904_942_025_371_773e1,
    ];
    const Q: [f64; 5] = [
        2.485_846_490_142_306_297_962e1,
        1.650_270_098_316_988_542_046e2,
        4.328_810_604_912_902_668_951e2,
        4.853_903_996_359_136_964_868e2,
        1.945_506_571_482_613_964_425e2,
    ];
    /// What π/2 has beyond the digits of a float.
    const MORE_BITS: f64 = 6.123_233_995_736_765_886_130e-17;
    let near_zero = |x: f64| {
        let square = x * x;
        x * (square * polynomial(&P, square) / monic(&Q, square)) + x
    };
    if x <= 0.66 {
        near_zero(x)
    } else if x > 2.414_213_562_373_095_048_80 {
        FRAC_PI_2 - near_zero(1.0 / x) + MORE_BITS
    } else {
        FRAC_PI_4 + near_zero((x - 1.0) / (x + 1.0)) + 0.5 * MORE_BITS
    }
}

/// Arc tangent.
pub fn atan(x: f64) -> f64 {
    if x == 0.0 { x } else { odd(x, atan_of_positive) }
}

/// Angle of the point (x, y).
pub fn atan2(y: f64, x: f64) -> f64 {
    if x.is_nan() || y.is_nan() {
        return f64::NAN;
    }
    if y == 0.0 || x == 0.0 || x.is_infinite() || y.is_infinite() {
        // Multiples of π/4, the same by every method.
        return y.atan2(x);
    }
    let angle = atan(y / x);
    match (x < 0.0, angle <= 0.0) {
        (false, _) => angle,
        (true, true) => angle + PI,
        (true, false) => angle - PI,
    }
}

/// Arc sine.
pub fn asin(x: f64) -> f64 {
    if x == 0.0 {
        return x;
    }
    odd(x, |x| {
        if x.is_nan() || x > 1.0 {
            return f64::NAN;
        }
        let other = (1.0 - x * x).sqrt();
        if x > 0.7 { FRAC_PI_2 - atan_of_positive(other / x) } else { atan_of_positive(x / other) }
    })
}

/// Arc cosine.
pub fn acos(x: f64) -> f64 {
    FRAC_PI_2 - asin(x)
}

/// Hyperbolic sine.
pub fn sinh(x: f64) -> f64 {
    const P: [f64; 4] = [
        -0.263_056_321_339_749_706_281_948_9e2,
        -0.289_421_135_598_956_380_728_466_036_6e4,
        -0.899_127_202_203_950_935_539_801_351_1e5,
        -0.630_767_364_049_771_699_118_478_725_1e6,
    ];
    const Q: [f64; 3] = [
        -0.173_678_953_558_233_699_533_450_911e3,
        0.152_151_737_879_001_907_069_648_517_6e5,
        -0.630_767_364_049_771_699_121_207_727_7e6,
    ];
    odd(x, |x| {
        if x > 21.0 {
            exp(x) / 2.0
        } else if x > 0.5 {
            let power = exp(x);
            (power - 1.0 / power) / 2.0
        } else {
            let square = x * x;
            polynomial(&P, square) * x / monic(&Q, square)
        }
    })
}

/// Hyperbolic cosine.
pub fn cosh(x: f64) -> f64 {
    let x = x.abs();
    let power = exp(x);
    if x > 21.0 { power / 2.0 } else { (power + 1.0 / power) / 2.0 }
}

/// Hyperbolic tangent.
pub fn tanh(x: f64) -> f64 {
    const P: [f64; 3] =
        [-9.643_991_794_250_522_386_28e-1, -9.928_772_310_019_185_865_64e1, -1.614_687_684_417_084_479_52e3];
    const Q: [f64; 3] =
        [1.128_116_784_916_329_314_02e2, 2.235_488_390_601_004_485_83e3, 4.844_063_053_251_254_860_48e3];
    /// Half the logarithm of 2^127: from here on the result is 1.
    const LARGE: f64 = 0.5 * 8.802_969_193_111_305_429_598_8e1;
    let magnitude = x.abs();
    if magnitude > LARGE {
        return 1f64.copysign(x);
    }
    if magnitude >= 0.625 {
        return odd(x, |x| 1.0 - 2.0 / (exp(2.0 * x) + 1.0));
    }
    if x == 0.0 {
        return x;
    }
    let square = x * x;
    x + x * square * polynomial(&P, square) / monic(&Q, square)
}

/// 2^28: beyond it x² + 1 is x², below its inverse the inverse functions are x.
const LARGE: f64 = 268_435_456.0;

/// Inverse hyperbolic sine.
pub fn asinh(x: f64) -> f64 {
    if !x.is_finite() {
        return x;
    }
    odd(x, |x| {
        if x > LARGE {
            ln(x) + LN_2
        } else if x > 2.0 {
            ln(2.0 * x + 1.0 / ((x * x + 1.0).sqrt() + x))
        } else if x < 1.0 / LARGE {
            x
        } else {
            ln_1p(x + x * x / (1.0 + (1.0 + x * x).sqrt()))
        }
    })
}

/// Inverse hyperbolic cosine.
pub fn acosh(x: f64) -> f64 {
    if x.is_nan() || x < 1.0 {
        f64::NAN
    } else if x == 1.0 {
        0.0
    } else if x >= LARGE {
        ln(x) + LN_2
    } else if x > 2.0 {
        ln(2.0 * x - 1.0 / (x + (x * x - 1.0).sqrt()))
    } else {
        let more = x - 1.0;
        ln_1p(more + (2.0 * more + more * more).sqrt())
    }
}

/// Inverse hyperbolic tangent.
pub fn atanh(x: f64) -> f64 {
    odd(x, |x| {
        if x.is_nan() || x > 1.0 {
            f64::NAN
        } else if x == 1.0 {
            f64::INFINITY
        } else if x < 1.0 / LARGE {
            x
        } else if x < 0.5 {
            let double = x + x;
            0.5 * ln_1p(double + double * x / (1.0 - x))
        } else {
            0.5 * ln_1p((x + x) / (1.0 - x))
        }
    })
}

/// Go's `math.Max`: NaN wins over numbers but not over +Inf, +0 over −0.
pub fn max(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == 0.0 && a == b {
        if a.is_sign_negative() { b } else { a }
    } else if a > b {
        a
    } else {
        b
    }
}

/// Go's `math.Min`: NaN wins over numbers but not over −Inf, −0 over +0.
pub fn min(a: f64, b: f64) -> f64 {
    if a == f64::NEG_INFINITY || b == f64::NEG_INFINITY {
        f64::NEG_INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == 0.0 && a == b {
        if a.is_sign_negative() { a } else { b }
    } else if a < b {
        a
    } else {
        b
    }
}

/// Go's `math.Pow`: repeated multiplication of mantissas over the bits of the exponent, so that its rounding differs
/// from the C library's.
pub fn pow(x: f64, y: f64) -> f64 {
    if let Some(special) = pow_special(x, y) {
        return special;
    }
    let (mut whole, mut fraction) = (y.abs().trunc(), y.abs().fract());
    if fraction != 0.0 && x < 0.0 {
        return f64::NAN;
    }
    if whole >= (1u64 << 63) as f64 {
        // The exponent is even (it is a large float) and |x| is not 1: the result is 0 or infinite.
        return if x == -1.0 {
            1.0
        } else if (x.abs() < 1.0) == (y > 0.0) {
            0.0
        } else {
            f64::INFINITY
        };
    }
    let (mut mantissa, mut exponent) = (1.0, 0i64);
    if fraction != 0.0 {
        if fraction > 0.5 {
            fraction -= 1.0;
            whole += 1.0;
        }
        mantissa = exp(fraction * ln(x));
    }
    let (mut base, base_exponent) = frexp(x);
    let mut base_exponent = i64::from(base_exponent);
    let mut bits = whole as i64;
    while bits != 0 {
        if !(-4096..=4096).contains(&base_exponent) {
            exponent += base_exponent;
            break;
        }
        if bits & 1 == 1 {
            mantissa *= base;
            exponent += base_exponent;
        }
        base *= base;
        base_exponent <<= 1;
        if base < 0.5 {
            base += base;
            base_exponent -= 1;
        }
        bits >>= 1;
    }
    if y < 0.0 {
        mantissa = 1.0 / mantissa;
        exponent = -exponent;
    }
    ldexp(mantissa, exponent)
}

/// Results that need no computation, in Go's order of cases.
fn pow_special(x: f64, y: f64) -> Option<f64> {
    let odd = |y: f64| y.abs() < 9_007_199_254_740_992.0 && y.trunc() == y && (y as i64) & 1 == 1;
    Some(if y == 0.0 || x == 1.0 {
        1.0
    } else if y == 1.0 {
        x
    } else if x.is_nan() || y.is_nan() {
        f64::NAN
    } else if x == 0.0 {
        match (y < 0.0, odd(y)) {
            (true, true) => f64::INFINITY.copysign(x),
            (true, false) => f64::INFINITY,
            (false, true) => x,
            (false, false) => 0.0,
        }
    } else if y.is_infinite() {
        if x == -1.0 {
            1.0
        } else if (x.abs() < 1.0) == (y > 0.0) {
            0.0
        } else {
            f64::INFINITY
        }
    } else if x.is_infinite() {
        if x < 0.0 {
            if y == f64::NEG_INFINITY {
                return Some(0.0);
            }
            return Some(match (y < 0.0, odd(y)) {
                (true, true) => -0.0,
                (true, false) => 0.0,
                (false, true) => f64::NEG_INFINITY,
                (false, false) => f64::INFINITY,
            });
        }
        if y < 0.0 { 0.0 } else { f64::INFINITY }
    } else if y == 0.5 {
        x.sqrt()
    } else if y == -0.5 {
        1.0 / x.sqrt()
    } else {
        return None;
    })
}

/// Mantissa in ±[0.5, 1) and exponent of a finite number.
pub fn frexp(x: f64) -> (f64, i32) {
    if x == 0.0 || !x.is_finite() {
        return (x, 0);
    }
    // Subnormals are scaled into the normal range first.
    let (x, shift) = if x.abs() < f64::MIN_POSITIVE { (x * 4_503_599_627_370_496.0, -52) } else { (x, 0) };
    let bits = x.to_bits();
    let exponent = ((bits >> 52) & 0x7ff) as i32 - 1022;
    (f64::from_bits((bits & !(0x7ff << 52)) | (1022 << 52)), exponent + shift)
}

/// `mantissa × 2^exponent`, rounded once.
pub fn ldexp(mantissa: f64, exponent: i64) -> f64 {
    if mantissa == 0.0 || !mantissa.is_finite() {
        return mantissa;
    }
    let (fraction, own) = frexp(mantissa);
    let exponent = exponent.saturating_add(i64::from(own));
    if exponent > 1024 {
        return f64::INFINITY.copysign(mantissa);
    }
    if exponent < -1075 {
        return 0f64.copysign(mantissa);
    }
    let scaled = |exponent: i64| f64::from_bits(((exponent + 1023) as u64) << 52);
    if exponent > -1022 {
        // Two factors, because 2^1024 is not a float.
        return fraction * 2.0 * scaled(exponent - 1);
    }
    (fraction * 2.0 * scaled(exponent - 1 + 53)) * f64::from_bits((1023 - 53) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_two_are_exact_and_the_rest_is_close() {
        for power in -1074..=1023 {
            let exact = 2f64.powi(power / 2) * 2f64.powi(power - power / 2);
            assert_eq!(exp2(f64::from(power)).to_bits(), exact.to_bits(), "2^{power}");
        }
        for step in -4000..4000 {
            let x = f64::from(step) * 0.2511;
            let (ours, theirs) = (exp2(x), x.exp2());
            assert!(
                (ours - theirs).abs() <= 2.0 * f64::EPSILON * theirs,
                "2^{x} is {ours:e}, not {theirs:e}"
            );
        }
        assert_eq!([exp2(-1075.0), exp2(1024.0), exp2(f64::NEG_INFINITY)], [0.0, f64::INFINITY, 0.0]);
        assert!(exp2(f64::NAN).is_nan());
    }

    #[test]
    fn minimum_and_maximum_as_go_has_them() {
        assert!(max(f64::NAN, 1.0).is_nan());
        assert_eq!(max(f64::NAN, f64::INFINITY), f64::INFINITY);
        assert!(min(1.0, f64::NAN).is_nan());
        assert_eq!(min(f64::NAN, f64::NEG_INFINITY), f64::NEG_INFINITY);
        assert!(min(0.0, -0.0).is_sign_negative() && max(-0.0, 0.0).is_sign_positive());
    }

    #[test]
    fn powers() {
        for (x, y, expected) in [
            (2.0, 10.0, 1024.0),
            (2.0, -1.0, 0.5),
            (-2.0, 3.0, -8.0),
            (4.0, 0.5, 2.0),
            (0.0, -1.0, f64::INFINITY),
            (2.0, 1024.0, f64::INFINITY),
            (2.0, -1074.0, 5e-324),
            (2.0, -1076.0, 0.0),
            (f64::NEG_INFINITY, 3.0, f64::NEG_INFINITY),
            (-1.0, f64::INFINITY, 1.0),
            (0.5, 1e300, 0.0),
        ] {
            assert_eq!(pow(x, y), expected, "{x}^{y}");
        }
        assert!(pow(-8.0, 1.0 / 3.0).is_nan());
    }

    #[test]
    fn taking_apart_and_putting_together() {
        for x in [1.0, -3.5, 1e308, 5e-324, 2.2250738585072014e-308, 0.1] {
            let (mantissa, exponent) = frexp(x);
            assert!((0.5..1.0).contains(&mantissa.abs()));
            assert_eq!(ldexp(mantissa, i64::from(exponent)), x);
        }
    }
}
