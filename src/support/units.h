// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace mcompress {

/// Figures as people read them. Locale-independent; a value that is not finite reads "?". All units
/// are decimal (1 MB = 1,000,000 bytes), as file managers and data sheets count.

/// Digits after the point, at least `least` and at most `most`, with which a and b read differently
/// when they differ: a loss of 0.04 points is never printed as "86.5 -> 86.5".
int digits_that_differ(double a, double b, int least, int most = 6);

/// "1,234,567".
std::string format_count(uint64_t count);
/// Three or four leading digits: "987", "12.3 k", "4.56 M", "1.20 G".
std::string format_large_count(uint64_t count);
/// Fixed digits after the point, never "-0.0".
std::string format_fixed(double value, int digits);
/// As `format_fixed`, with "+" before a value that does not read as zero or below.
std::string format_signed(double value, int digits);
/// `digits` leading digits without exponent where that is short: "0.0123", "12.3", "1.2e-07".
std::string format_significant(double value, int digits = 3);

/// "812 B", "4.56 kB", "10.82 MB", "115.2 MB", "1.20 GB".
std::string format_bytes(uint64_t bytes);
/// "0.8 us", "950 us", "1.62 ms", "41.3 ms", "2.31 s".
std::string format_milliseconds(double ms);
/// "40 ms", "4.2 s", "3 min 05 s", "2 h 07 min".
std::string format_seconds(double seconds);
/// A share as per cent: 0.865 -> "86.5 %".
std::string format_percent(double share, int digits = 1);
/// A ratio: 0.286 -> "x 0.29"; more digits where 1.00 would hide a difference.
std::string format_ratio(double ratio);

}  // namespace mcompress
