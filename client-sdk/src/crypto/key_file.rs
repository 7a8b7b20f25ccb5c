//! Room keys in a file, under a passphrase: what clients call "export" and "import".
//!
//! Source: client-server API, "Key export format". The text is base64 between two lines; in it a version, a salt, a vector, the
//! number of PBKDF2 rounds, the ciphertext and a MAC over all before it.

use base64::{Engine as _, alphabet, engine};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{
    ctr,
    derive::{self, Pair},
    exported_key::ExportedKey,
};

/// Why a key file can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    /// The first or the last line is missing.
    #[error("this is no key file: its first or last line is missing")]
    Frame,
    /// What stands between them is no base64, or too short.
    #[error("the key file is damaged")]
    Malformed,
    /// A format that this SDK does not know.
    #[error("the key file has the unknown version {0}")]
    Version(u8),
    /// More rounds than a device can do in a minute or so, or none at all.
    #[error("a key file of {0} rounds is refused")]
    Rounds(u32),
    /// The passphrase is another one, or the file was altered.
    #[error("the passphrase does not fit")]
    Mac,
    /// What was decrypted is no list of room keys.
    #[error("the file holds no list of room keys")]
    Keys,
}

const BEGIN: &str = "-----BEGIN MEGOLM SESSION DATA-----";
const END: &str = "-----END MEGOLM SESSION DATA-----";
const VERSION: u8 = 1;
/// Version, salt, vector, rounds.
const HEAD: usize = 1 + 16 + 16 + 4;
const MAC: usize = 32;
/// Who wrote the file chooses the rounds.
const MOST_ROUNDS: u32 = 10_000_000;
/// What a new file takes: half a second or so of one core.
pub const ROUNDS: u32 = 500_000;
const LINE: usize = 96;

/// Base64 with or without its padding: clients write both.
const BASE64: engine::GeneralPurpose = engine::GeneralPurpose::new(
    &alphabet::STANDARD,
    engine::GeneralPurposeConfig::new().with_decode_padding_mode(engine::DecodePaddingMode::Indifferent),
);

/// Writes `keys` into a file's text. `rounds` is [`ROUNDS`] as a rule.
///
/// # Errors
/// [`KeyFileError::Rounds`] for a number that [`read`] would refuse; [`KeyFileError::Keys`] if the keys can't be written.
pub fn write(
    keys: &[ExportedKey],
    passphrase: &str,
    rounds: u32,
    rng: &mut impl CryptoRng,
) -> Result<String, KeyFileError> {
    let mut salt = [0; 16];
    rng.fill_bytes(&mut salt);
    let iv = ctr::fresh_iv(rng);
    let pair = pair(passphrase, &salt, rounds)?;
    let mut data = Zeroizing::new(serde_json::to_vec(keys).map_err(|_| KeyFileError::Keys)?);
    ctr::apply(&pair.cipher, &iv, &mut data);

    let mut bytes = Vec::with_capacity(HEAD + data.len() + MAC);
    bytes.push(VERSION);
    bytes.extend_from_slice(&salt);
    bytes.extend_from_slice(&iv);
    bytes.extend_from_slice(&rounds.to_be_bytes());
    bytes.extend_from_slice(&data);
    let mac = ctr::mac(&pair.mac, &bytes);
    bytes.extend_from_slice(&mac);
    Ok(framed(&BASE64.encode(bytes)))
}

/// Reads the keys of a file. Whether each makes the session that it names, [`ExportedKey::session`] says.
///
/// Takes time and memory in proportion to the text, and the file's rounds.
///
/// # Errors
/// [`KeyFileError`]; see there.
pub fn read(text: &str, passphrase: &str) -> Result<Vec<ExportedKey>, KeyFileError> {
    let (_, rest) = text.split_once(BEGIN).ok_or(KeyFileError::Frame)?;
    let (body, _) = rest.split_once(END).ok_or(KeyFileError::Frame)?;
    let letters: String = body.split_ascii_whitespace().collect();
    let bytes = BASE64.decode(letters).map_err(|_| KeyFileError::Malformed)?;

    let (sealed, mac) = bytes.split_last_chunk::<MAC>().ok_or(KeyFileError::Malformed)?;
    let (head, data) = sealed.split_first_chunk::<HEAD>().ok_or(KeyFileError::Malformed)?;
    if head[0] != VERSION {
        return Err(KeyFileError::Version(head[0]));
    }
    let (mut salt, mut iv, mut rounds) = ([0; 16], [0; 16], [0; 4]);
    salt.copy_from_slice(&head[1..17]);
    iv.copy_from_slice(&head[17..33]);
    rounds.copy_from_slice(&head[33..]);
    let pair = pair(passphrase, &salt, u32::from_be_bytes(rounds))?;
    if !ctr::is_mac(&pair.mac, sealed, mac) {
        return Err(KeyFileError::Mac);
    }
    let mut data = Zeroizing::new(data.to_vec());
    ctr::apply(&pair.cipher, &iv, &mut data);
    serde_json::from_slice(&data).map_err(|_| KeyFileError::Keys)
}

fn pair(passphrase: &str, salt: &[u8; 16], rounds: u32) -> Result<Pair, KeyFileError> {
    if !(1..=MOST_ROUNDS).contains(&rounds) {
        return Err(KeyFileError::Rounds(rounds));
    }
    Ok(Pair::from(&*derive::of_passphrase::<64>(passphrase, salt, rounds)))
}

fn framed(letters: &str) -> String {
    let mut text = String::with_capacity(letters.len() + letters.len() / LINE + BEGIN.len() + END.len() + 4);
    text.push_str(BEGIN);
    for (at, letter) in letters.chars().enumerate() {
        if at % LINE == 0 {
            text.push('\n');
        }
        text.push(letter);
    }
    text.push('\n');
    text.push_str(END);
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{chance::Chance, exported_key::sample};

    fn file(keys: &[ExportedKey]) -> String {
        write(keys, "a passphrase", 1_000, &mut Chance::new(1)).unwrap()
    }

    #[test]
    fn keys_come_back() {
        for count in [0, 1, 50] {
            let keys = sample(count);
            let read = read(&file(&keys), "a passphrase").unwrap();
            assert_eq!(serde_json::to_value(&read).unwrap(), serde_json::to_value(&keys).unwrap());
            read.iter().for_each(|key| drop(key.session().unwrap()));
        }
    }

    #[test]
    fn files_of_other_clients_are_read_however_they_break_lines() {
        let text = file(&sample(2));
        let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        let unpadded = body.trim_end_matches('=');
        for other in [
            format!("{BEGIN}\n{body}\n{END}"),
            format!("\u{feff}{BEGIN}\r\n{unpadded}\r\n{END}\r\n"),
            format!("a word before\n{BEGIN}{body}{END}and after"),
        ] {
            assert_eq!(read(&other, "a passphrase").unwrap().len(), 2);
        }
    }

    #[test]
    fn whatever_is_altered_is_refused() {
        let text = file(&sample(1));
        assert_eq!(read(&text, "another passphrase").unwrap_err(), KeyFileError::Mac);
        let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        let bytes = BASE64.decode(&body).unwrap();
        let reread = |bytes: &[u8]| read(&format!("{BEGIN}\n{}\n{END}", BASE64.encode(bytes)), "a passphrase");
        for at in (1..33).chain([HEAD, HEAD + 10, bytes.len() - 1]) {
            let mut altered = bytes.clone();
            altered[at] ^= 1;
            assert_eq!(reread(&altered).unwrap_err(), KeyFileError::Mac, "byte {at}");
        }
        let mut altered = bytes.clone();
        altered[0] = 2;
        assert_eq!(reread(&altered).unwrap_err(), KeyFileError::Version(2));
        altered[0] = 1;
        altered[33..37].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(reread(&altered).unwrap_err(), KeyFileError::Rounds(u32::MAX));
        assert_eq!(reread(&bytes[..HEAD + MAC - 1]).unwrap_err(), KeyFileError::Malformed);
        assert_eq!(reread(&[]).unwrap_err(), KeyFileError::Malformed);
        assert_eq!(read("", "p").unwrap_err(), KeyFileError::Frame);
        assert_eq!(read(&format!("{END}{BEGIN}"), "p").unwrap_err(), KeyFileError::Frame);
        assert_eq!(read(&format!("{BEGIN}\n?\n{END}"), "p").unwrap_err(), KeyFileError::Malformed);
    }

    #[test]
    fn what_is_no_list_of_keys_is_refused_after_its_mac() {
        let (mut chance, mut data) = (Chance::new(1), b"{\"not\":\"a list\"}".to_vec());
        let (salt, iv) = ([0; 16], ctr::fresh_iv(&mut chance));
        let pair = pair("p", &salt, 1).unwrap();
        ctr::apply(&pair.cipher, &iv, &mut data);
        let mut bytes = [&[VERSION][..], &salt, &iv, &1_u32.to_be_bytes(), &data].concat();
        let mac = ctr::mac(&pair.mac, &bytes);
        bytes.extend_from_slice(&mac);
        assert_eq!(read(&framed(&BASE64.encode(bytes)), "p").unwrap_err(), KeyFileError::Keys);
        assert_eq!(write(&[], "p", 0, &mut chance).unwrap_err(), KeyFileError::Rounds(0));
    }
}
