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
    use curve25519_dalek::{EdwardsPoint, Scalar, constants::EIGHT_TORSION, scalar::clamp_integer};
    use ed25519_dalek::{Signature, SigningKey, VerifyingKey, verify_batch};
    use sha2::{Digest as _, Sha512};

    use super::*;
    use crate::signature::Signer;

    /// A signature whose `R` has a component of small order, made by the key's owner. The batch multiplies the equation by a
    /// random number, and one time in eight that number makes the component vanish.
    fn signed_with_torsion(seed: &[u8; 32], message: &[u8]) -> (VerifyingKey, [u8; 64]) {
        let (scalar, public) = {
            let expanded = Sha512::digest(seed);
            let mut bytes = [0; 32];
            bytes.copy_from_slice(&expanded[..32]);
            (Scalar::from_bytes_mod_order(clamp_integer(bytes)), SigningKey::from_bytes(seed).verifying_key())
        };
        let nonce = Scalar::from(12_345_u64);
        let torsion = EIGHT_TORSION[1];
        let r = (EdwardsPoint::mul_base(&nonce) + torsion).compress().to_bytes();
        let challenge: [u8; 64] = Sha512::digest([&r[..], public.as_bytes(), message].concat()).into();
        let s = nonce + Scalar::from_bytes_mod_order_wide(&challenge) * scalar;
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&r);
        signature[32..].copy_from_slice(s.as_bytes());
        (public, signature)
    }

    #[test]
    fn what_only_a_textbook_batch_accepts_is_refused() {
        let mut accepted_by_batch = 0;
        for number in 0..200_u8 {
            let message = [number];
            let (public, signature) = signed_with_torsion(&[1; 32], &message);
            let batch = verify_batch(&[&message], &[Signature::from_bytes(&signature)], &[public]);
            accepted_by_batch += usize::from(batch.is_ok());
            let key = VerifyKey::from(public);
            assert_eq!(verify_all(&[Claim { key: &key, message: &message, signature: &signature }]), [false]);
        }
        assert!(accepted_by_batch > 5, "the batch has become strict: it could be used");
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
