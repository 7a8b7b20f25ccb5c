//! A 32-byte key as people write it down: base58 in groups of four, with a check byte.
//!
//! Source: client-server API, "Key representation". Recovery keys of secret storage and of the key backup look alike.

use zeroize::Zeroizing;

/// Why a text is no recovery key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecoveryKeyError {
    /// A character that no recovery key has: `0`, `O`, `I`, `l`, or a sign.
    #[error("a recovery key has no such character")]
    Character,
    /// Too short or too long.
    #[error("a recovery key has 48 characters without its spaces")]
    Length,
    /// Two characters were exchanged, or one is wrong.
    #[error("the recovery key is mistyped")]
    Parity,
    /// A key of another kind.
    #[error("this is no recovery key")]
    Prefix,
}

const PREFIX: [u8; 2] = [0x8b, 0x01];
/// Prefix, key, parity.
const LENGTH: usize = 35;
/// Nothing longer is decoded.
const LONGEST: usize = 200;

/// Reads a key, with whatever white space.
///
/// # Errors
/// [`RecoveryKeyError`]; see there.
///
/// ```
/// use roost_sdk::crypto::recovery_key;
/// let key = recovery_key::write(&[7; 32]);
/// assert_eq!(*recovery_key::read(&key)?, [7; 32]);
/// # Ok::<(), recovery_key::RecoveryKeyError>(())
/// ```
pub fn read(text: &str) -> Result<Zeroizing<[u8; 32]>, RecoveryKeyError> {
    if text.len() > LONGEST {
        return Err(RecoveryKeyError::Length);
    }
    let letters: Zeroizing<String> = Zeroizing::new(text.split_whitespace().collect());
    let bytes = bs58::decode(letters.as_bytes()).into_vec().map_err(|_| RecoveryKeyError::Character)?;
    let bytes: Zeroizing<[u8; LENGTH]> =
        Zeroizing::new(Zeroizing::new(bytes).as_slice().try_into().map_err(|_| RecoveryKeyError::Length)?);
    if bytes.iter().fold(0, |parity, byte| parity ^ byte) != 0 {
        return Err(RecoveryKeyError::Parity);
    }
    if bytes[..2] != PREFIX {
        return Err(RecoveryKeyError::Prefix);
    }
    let mut key = Zeroizing::new([0; 32]);
    key.copy_from_slice(&bytes[2..34]);
    Ok(key)
}

/// Writes a key, in groups of four characters.
pub fn write(key: &[u8; 32]) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([0; LENGTH]);
    bytes[..2].copy_from_slice(&PREFIX);
    bytes[2..34].copy_from_slice(key);
    bytes[34] = bytes.iter().fold(0, |parity, byte| parity ^ byte);
    let letters = Zeroizing::new(bs58::encode(&*bytes).into_string());
    let mut text = Zeroizing::new(String::with_capacity(letters.len() * 5 / 4 + 1));
    for (at, letter) in letters.chars().enumerate() {
        if at > 0 && at % 4 == 0 {
            text.push(' ');
        }
        text.push(letter);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The specification's appendix has this key.
    const KNOWN: &str = "EsTc LW2K PGiF wKEA 3As5 g5c4 BXwk qeeJ ZJV8 Q9fu gUMN UE4d";

    #[test]
    fn the_known_key_is_read_and_written() {
        let key = read(KNOWN).unwrap();
        assert_eq!(key[0], 0x77, "{key:02x?}");
        assert_eq!(&*write(&key), KNOWN);
        assert_eq!(read(&KNOWN.replace(' ', "")).unwrap(), key);
        assert_eq!(read(&KNOWN.replace(' ', "\n\t ")).unwrap(), key);
    }

    #[test]
    fn every_mistyped_letter_is_noticed() {
        let letters: Vec<char> = KNOWN.chars().filter(|letter| *letter != ' ').collect();
        for at in 0..letters.len() {
            let mut other = letters.clone();
            other[at] = if other[at] == 'Z' { 'Y' } else { 'Z' };
            if other != letters {
                assert!(read(&other.iter().collect::<String>()).is_err(), "letter {at}");
            }
        }
        assert_eq!(read("EsT0"), Err(RecoveryKeyError::Character));
        assert_eq!(read("EsTc"), Err(RecoveryKeyError::Length));
        assert_eq!(read(""), Err(RecoveryKeyError::Length));
        assert_eq!(read(&"E".repeat(100_000)), Err(RecoveryKeyError::Length));
        assert_eq!(read(&bs58::encode([0; LENGTH]).into_string()), Err(RecoveryKeyError::Prefix));
    }
}
