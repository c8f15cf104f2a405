//! What does a typed size, rate or time mean?

use std::time::Duration;

use super::{Amount, Rate, Refusal, Zero, count};

const MAX_SECONDS: u64 = 1 << 32;

/// Reads `64KiB`, `1.5M`, `10MB`, `65536`, `2%`, `1024 items`.
///
/// # Errors
/// With the way to write it, or what it may be, as the hint.
pub(crate) fn read_amount(text: &str, zero: Zero) -> Result<Amount, Refusal> {
    let (number, unit) = Number::cut(text).ok_or_else(|| no_number(text, "64KiB"))?;
    let amount = match unit {
        "%" => return percent(&number),
        "items" | " items" | "item" | " item" => Amount::Items(number.whole()?),
        "" => Amount::Bytes(number.whole()?),
        _ => Amount::Bytes(number.times(bytes_of(&number, unit)?, 1)?),
    };
    if zero == Zero::Refused && matches!(amount, Amount::Bytes(0) | Amount::Items(0)) {
        return Err(Refusal::new("it must be at least 1, e.g. `64KiB`"));
    }
    Ok(amount)
}

/// Reads `10MB/s`, `10M`, `80Mbit/s`, `600M/h`. `None` is `max`: no limit.
///
/// # Errors
/// With the way to write it as the hint.
pub(crate) fn read_rate(text: &str) -> Result<Option<Rate>, Refusal> {
    if text == "max" {
        return Ok(None);
    }
    let (number, unit) = Number::cut(text).ok_or_else(|| no_number(text, "10MB/s"))?;
    let typed = number.text;
    let (unit, per) = match unit.split_once('/') {
        None => (unit, 1),
        Some((unit, "s")) => (unit, 1),
        Some((unit, "m")) => (unit, 60),
        Some((unit, "h")) => (unit, 3600),
        Some((unit, _)) => {
            let unit = if unit.is_empty() { "B" } else { unit };
            return Err(Refusal::new(format!("write `{typed}{unit}/s`, or `/m` or `/h`")));
        }
    };
    if unit.is_empty() {
        if number.digits == 0 {
            return Err(Refusal::new(NO_RATE));
        }
        return Err(Refusal::new(format!("write `{typed}B/s` for bytes per second")));
    }
    let bytes = match unit.strip_suffix("bit") {
        Some(prefix) => number.times(decimal(prefix).ok_or_else(|| unit_hint(typed))?, 8)?,
        None => number.times(rate_bytes_of(&number, unit)?, 1)?,
    };
    if bytes == 0 {
        return Err(Refusal::new(NO_RATE));
    }
    Ok(Some(Rate { bytes, per: Duration::from_secs(per) }))
}

/// Reads `250ms`, `1.5s`, `2m`, `1h30m`.
///
/// # Errors
/// With the way to write it as the hint.
pub(crate) fn read_time(text: &str, zero: Zero) -> Result<Duration, Refusal> {
    let mut rest = text;
    let mut sum_ms: u64 = 0;
    let mut smallest_ms = u64::MAX;
    while !rest.is_empty() || smallest_ms == u64::MAX {
        let (number, tail) = Number::cut(rest).ok_or_else(|| no_number(text, "30s"))?;
        let end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, next) = tail.split_at(end);
        let unit_ms = milliseconds(unit).ok_or_else(|| match (number.digits, zero) {
            // with a unit it would be refused as well
            (0, Zero::Refused) => Refusal::new(NO_TIME),
            _ => time_hint(number.text, unit),
        })?;
        if unit_ms >= smallest_ms {
            return Err(Refusal::new("write the larger unit first, each once, e.g. `1h30m`"));
        }
        smallest_ms = unit_ms;
        sum_ms = sum_ms.saturating_add(number.product(unit_ms, 1).unwrap_or(u64::MAX));
        rest = next;
    }
    if sum_ms == 0 && zero == Zero::Refused {
        return Err(Refusal::new(NO_TIME));
    }
    if sum_ms / 1000 > MAX_SECONDS {
        return Err(Refusal::new("it must be under 100 years"));
    }
    Ok(Duration::from_millis(sum_ms))
}

/// What no time is answered with, where it makes no sense.
const NO_TIME: &str = "it must be at least `1ms`";
/// What a rate of nothing is answered with, however it is written.
const NO_RATE: &str = "a rate is at least 1 byte; `max` is no limit";

/// A decimal number as typed: `digits / 10^decimals`.
struct Number<'text> {
    text: &'text str,
    digits: u128,
    decimals: u32,
}

impl<'text> Number<'text> {
    /// Cuts a number off the front; `None` if there is none, or one too long to be meant.
    fn cut(text: &'text str) -> Option<(Self, &'text str)> {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        if whole.is_empty() || whole.len() > 20 || part.is_empty() || part.len() > 9 {
            return None;
        }
        let part = if number.contains('.') { part } else { "" };
        let digits = format!("{whole}{part}").parse().ok()?;
        let decimals = u32::try_from(part.len()).ok()?;
        Some((Self { text: number, digits, decimals }, unit))
    }

    /// Gives the number of bytes times `unit / divisor`, rounded down.
    fn times(&self, unit: u64, divisor: u128) -> Result<u64, Refusal> {
        self.product(unit, divisor).ok_or_else(|| Refusal::new("it must be less than `16EiB`"))
    }

    /// The same of anything; `None` if it is too much.
    fn product(&self, unit: u64, divisor: u128) -> Option<u64> {
        let scale = 10_u128.pow(self.decimals) * divisor;
        let product = self.digits.checked_mul(u128::from(unit))?;
        u64::try_from(product / scale).ok()
    }

    fn whole(&self) -> Result<u64, Refusal> {
        if self.decimals > 0 {
            let (whole, _) = self.text.split_once('.').unwrap_or((self.text, ""));
            let hint =
                format!("write a whole number, e.g. `{whole}`, or a unit, e.g. `{}K`", self.text);
            return Err(Refusal::new(hint));
        }
        self.times(1, 1)
    }
}

fn percent(number: &Number<'_>) -> Result<Amount, Refusal> {
    match u8::try_from(number.whole()?) {
        Ok(percent @ 1..=90) => Ok(Amount::Percent(percent)),
        _ => Err(Refusal::new("a percentage is 1% to 90%")),
    }
}

/// Powers of 1024 by their letter, and of 1000 likewise.
const PREFIXES: [(char, u32); 6] = [('K', 1), ('M', 2), ('G', 3), ('T', 4), ('P', 5), ('E', 6)];

fn power(letter: char) -> Option<u32> {
    PREFIXES.iter().find(|(prefix, _)| *prefix == letter).map(|(_, power)| *power)
}

/// Gives the bytes of a unit, or the two meanings it could have.
fn bytes_of(number: &Number<'_>, unit: &str) -> Result<u64, Refusal> {
    let unit = unit.strip_prefix(' ').unwrap_or(unit);
    if unit == "B" {
        return Ok(1);
    }
    let mut letters = unit.chars();
    let letter = letters.next().unwrap_or_default();
    let rest = letters.as_str();
    let known = power(if letter == 'k' { 'K' } else { letter });
    match (known, rest) {
        (Some(power), "" | "iB") => Ok(1024_u64.pow(power)),
        (Some(power), "B") => Ok(1000_u64.pow(power)),
        _ => Err(unknown_unit(number, letter, rest)),
    }
}

fn unknown_unit(number: &Number<'_>, letter: char, rest: &str) -> Refusal {
    let typed = number.text;
    let upper = letter.to_ascii_uppercase();
    let Some(power) = power(upper) else {
        if let (true, Some(value)) = (letter == 'e', power_of_ten(number, rest)) {
            return Refusal::new(format!("write `{value}`"));
        }
        return unit_hint(typed);
    };
    if rest.eq_ignore_ascii_case("b") {
        let binary = number.times(1024_u64.pow(power), 1).map(count).unwrap_or_default();
        let metric = number.times(1000_u64.pow(power), 1).map(count).unwrap_or_default();
        let small = if upper == 'K' { 'k' } else { upper };
        return Refusal::new(format!(
            "write `{typed}{upper}iB` ({binary} bytes) or `{typed}{small}B` ({metric} bytes)"
        ));
    }
    match rest.to_ascii_lowercase().as_str() {
        "" | "i" | "ib" => Refusal::new(format!("write `{typed}{upper}iB`")),
        _ if letter == 'e' && power_of_ten(number, rest).is_some() => {
            let value = power_of_ten(number, rest).unwrap_or_default();
            Refusal::new(format!("write `{value}`"))
        }
        _ => unit_hint(typed),
    }
}

/// Reads the rest of `1e3`.
fn power_of_ten(number: &Number<'_>, exponent: &str) -> Option<u64> {
    let exponent: u32 = exponent.parse().ok().filter(|power| *power < 20)?;
    number.times(10_u64.pow(exponent), 1).ok()
}

fn rate_bytes_of(number: &Number<'_>, unit: &str) -> Result<u64, Refusal> {
    let typed = number.text;
    let lower = unit.to_ascii_lowercase();
    let letter: String = unit.chars().take(1).collect::<String>().to_ascii_uppercase();
    if unit.ends_with("Bps") || unit.ends_with("B/s") {
        return Err(Refusal::new(format!("write `{typed}{}/s`", unit.trim_end_matches("ps"))));
    }
    if lower.ends_with("bps") || (unit.len() == 2 && unit.ends_with('b')) {
        let letter = if letter == "B" { "" } else { &letter };
        return Err(Refusal::new(format!(
            "write `{typed}{letter}bit/s` for bits or `{typed}{letter}B/s` for bytes"
        )));
    }
    bytes_of(number, unit)
}

/// Powers of 1000 before `bit`.
fn decimal(prefix: &str) -> Option<u64> {
    match prefix {
        "" => Some(1),
        "k" => Some(1000),
        _ => {
            let mut letters = prefix.chars();
            let power = power(letters.next()?)?;
            letters.as_str().is_empty().then(|| 1000_u64.pow(power))
        }
    }
}

fn milliseconds(unit: &str) -> Option<u64> {
    match unit {
        "ms" => Some(1),
        "s" => Some(1000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    }
}

fn time_hint(typed: &str, unit: &str) -> Refusal {
    let unit = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "s" | "sec" | "secs" | "second" | "seconds" => "s",
        "m" | "min" | "mins" | "minute" | "minutes" => "m",
        "h" | "hour" | "hours" => "h",
        "ms" | "msec" => "ms",
        _ => return Refusal::new("write e.g. `250ms`, `1.5s`, `2m` or `1h30m`"),
    };
    Refusal::new(format!("write `{typed}{unit}`"))
}

fn unit_hint(typed: &str) -> Refusal {
    Refusal::new(format!(
        "write e.g. `{typed}K`, `{typed}M` (1024) or `{typed}kB`, `{typed}MB` (1000)"
    ))
}

fn no_number(text: &str, example: &str) -> Refusal {
    if text.starts_with('-') {
        return Refusal::new(format!("it cannot be negative; write e.g. `{example}`"));
    }
    Refusal::new(format!("write a number and a unit, e.g. `{example}`"))
}
