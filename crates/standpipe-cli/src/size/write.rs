//! How are sizes, rates and times shown?

use std::time::Duration;

const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// Writes a number of bytes in three digits: `1.21 GiB`, `16.0 MiB`, `512 B`.
pub(crate) fn size(bytes: u64) -> String {
    let mut unit = 0;
    let mut scale: u128 = 1;
    while u128::from(bytes) >= scale * 1024 {
        unit += 1;
        scale *= 1024;
    }
    if unit == 0 {
        return format!("{bytes} B");
    }
    // In hundredths, rounded; what rounds up to 1,024 is 1 of the next unit.
    let mut hundredths = (u128::from(bytes) * 100 + scale / 2) / scale;
    if hundredths >= 102_350 && unit + 1 < UNITS.len() {
        unit += 1;
        hundredths = 100;
    }
    let number = match hundredths {
        0..1_000 => format!("{}.{:02}", hundredths / 100, hundredths % 100),
        1_000..9_995 => {
            let tenths = (hundredths + 5) / 10;
            format!("{}.{}", tenths / 10, tenths % 10)
        }
        _ => ((hundredths + 50) / 100).to_string(),
    };
    format!("{number} {}", UNITS[unit])
}

/// Writes a part of a limit: `9.20 of 64 MiB`, `512 KiB of 64 MiB`.
pub(crate) fn part(bytes: u64, limit_bytes: u64) -> String {
    let (part, limit) = (size(bytes), mark(limit_bytes));
    match (part.split_once(' '), limit.split_once(' ')) {
        (Some((number, unit)), Some((_, same))) if unit == same => format!("{number} of {limit}"),
        _ => format!("{part} of {limit}"),
    }
}

/// Writes a mark or limit, exactly where it is whole: `96 MiB`, `64 KiB`, `1.50 MiB`.
pub(crate) fn mark(bytes: u64) -> String {
    let mut unit = 0;
    let mut number = bytes;
    while number >= 1024 && number.is_multiple_of(1024) && unit + 1 < UNITS.len() {
        number /= 1024;
        unit += 1;
    }
    if number < 1024 { format!("{number} {}", UNITS[unit]) } else { size(bytes) }
}

/// Writes a size as it is typed, exactly: `96M`, `64K`, `1000`.
pub(crate) fn typed(bytes: u64) -> String {
    let mut number = bytes;
    let mut letters = ["", "K", "M", "G", "T", "P", "E"].iter().peekable();
    while number >= 1024 && number.is_multiple_of(1024) {
        number /= 1024;
        letters.next();
    }
    format!("{number}{}", letters.peek().copied().unwrap_or(&""))
}

/// Writes a number with commas: `65,536`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Writes bytes per second with one decimal: `3.9 MiB/s`; `-` if it is no number.
pub(crate) fn rate(bytes_per_second: f64) -> String {
    if !bytes_per_second.is_finite() || bytes_per_second < 0.0 {
        return "-".to_owned();
    }
    let mut number = bytes_per_second;
    let mut unit = 0;
    // Not 1024: 1,023.96 would be written as `1024.0`.
    while number >= 1023.95 && unit + 1 < UNITS.len() {
        number /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{number:.0} B/s") } else { format!("{number:.1} {}/s", UNITS[unit]) }
}

/// Writes a share of 0 to 1 as `92%`; `-` if it is no number.
pub(crate) fn percent(share: f64) -> String {
    if share.is_finite() { format!("{:.0}%", share * 100.0) } else { "-".to_owned() }
}

/// Writes a running time as a clock does: `0:01:29`.
pub(crate) fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// Writes a time as it is typed: `250ms`, `1.5s`, `1h30m`.
pub(crate) fn time(time: Duration) -> String {
    let ms = time.as_millis();
    let mut text = String::new();
    for (unit, length) in [("h", 3_600_000), ("m", 60_000)] {
        let whole = if unit == "h" { ms / length } else { ms % 3_600_000 / length };
        if whole > 0 {
            text += &format!("{whole}{unit}");
        }
    }
    let rest = ms % 60_000;
    match (rest / 1000, rest % 1000) {
        (0, 0) if text.is_empty() => "0s".to_owned(),
        (0, 0) => text,
        (0, ms) => text + &format!("{ms}ms"),
        (s, 0) => text + &format!("{s}s"),
        (s, ms) => text + format!("{s}.{ms:03}").trim_end_matches('0') + "s",
    }
}
