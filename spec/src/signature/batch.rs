//! Many signatures at once.

use super::VerifyKey;

/// One signature to be checked.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// The key that is said to have signed.
    pub key: &'a VerifyKey,
    /// What it is said to have signed.
    pub message: &'a [u8],
    /// The signature.
    pub signature: &'a [u8; 64],
}

/// The verdict on each claim, in order: exactly what [`VerifyKey::verify`] says of it alone.
///
/// The textbook batch (a random combination of all equations) is not used. It accepts some signatures whose `R` has a
/// component of small order, which strict verification refuses; to exclude those, every `R` must be shown to lie in the
/// prime-order subgroup, and that costs as much as checking the signature. A test below holds such a signature.
pub fn verify_all(claims: &[Claim<'_>]) -> Vec<bool> {
    claims.iter().map(|claim| claim.key.verify(claim.message, claim.signature)).collect()
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signature, VerifyingKey, verify_batch};

    use super::*;
    use crate::signature::Signer;

    /// Keys and an `R` of small order with s = 0 satisfy the equation for any message: the textbook batch accepts them.
    #[test]
    fn what_only_a_textbook_batch_accepts_is_refused() {
        let identity = {
            let mut bytes = [0; 32];
            bytes[0] = 1;
            bytes
        };
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&identity);
        let weak = VerifyingKey::from_bytes(&identity).unwrap();
        assert!(verify_batch(&[b"anything"], &[Signature::from_bytes(&signature)], &[weak]).is_ok());

        let key = VerifyKey::from(weak);
        assert_eq!(verify_all(&[Claim { key: &key, message: b"anything", signature: &signature }]), [false]);
    }

    #[test]
    fn every_claim_gets_its_own_verdict() {
        let signer = Signer::new("a.org", "ed25519:1", &[1; 32]);
        let (key, right) = (signer.verify_key(), signer.sign_raw(b"message"));
        let mut wrong = right;
        wrong[40] ^= 1;
        let claim = |message, signature| Claim { key: &key, message, signature };
        let claims = [claim(b"message".as_slice(), &right), claim(b"message", &wrong), claim(b"other", &right)];
        assert_eq!(verify_all(&claims), [true, false, false]);
    }
}
