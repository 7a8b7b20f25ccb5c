// Cross-signing, secret storage and key backup.
//
// Invariant: nothing is set up unasked: the test decides when.

import { CryptoEvent, decodeRecoveryKey } from "matrix-js-sdk/lib/crypto-api/index.js";

export async function bootstrap(device, { password }) {
    let asked = false;
    await device.client.getCrypto().bootstrapCrossSigning({
        setupNewCrossSigning: true,
        authUploadDeviceSigningKeys: async (upload) => {
            try {
                return await upload(null);
            } catch (error) {
                const session = error.data?.session;
                if (error.httpStatus !== 401 || !session) throw error;
                asked = true;
                const identifier = { type: "m.id.user", user: device.client.getUserId() };
                return await upload({ type: "m.login.password", identifier, password, session });
            }
        },
    });
    return { asked };
}

export async function backupEnable(device) {
    const crypto = device.client.getCrypto();
    const key = await crypto.createRecoveryKeyFromPassphrase();
    device.secret = { key: key.privateKey };
    const saved = new Promise((resolve) => {
        device.client.on(CryptoEvent.KeyBackupSessionsRemaining, (left) => left === 0 && resolve());
    });
    await crypto.bootstrapSecretStorage({ createSecretStorageKey: async () => key, setupNewKeyBackup: true });
    await saved;
    return { key: key.encodedPrivateKey };
}

export async function recover(device, { key }) {
    const crypto = device.client.getCrypto();
    device.secret = { key: decodeRecoveryKey(key) };
    await crypto.bootstrapCrossSigning({});
    await crypto.loadSessionBackupPrivateKeyFromSecretStorage();
    await crypto.checkKeyBackupAndEnable();
}

export async function status(device) {
    const crypto = device.client.getCrypto();
    const own = await crypto.getDeviceVerificationStatus(device.client.getUserId(), device.client.getDeviceId());
    return {
        cross_signing: await crypto.isCrossSigningReady(),
        verified: own?.crossSigningVerified ?? false,
        backup: (await crypto.getActiveSessionBackupVersion()) !== null,
    };
}

export async function devices(device, { user }) {
    const crypto = device.client.getCrypto();
    const known = (await crypto.getUserDeviceInfo([user], true)).get(user) ?? new Map();
    const devices = [];
    for (const id of known.keys()) {
        const status = await crypto.getDeviceVerificationStatus(user, id);
        devices.push({
            device: id,
            verified: status?.isVerified() ?? false,
            cross_signed: status?.signedByOwner ?? false,
        });
    }
    return { devices };
}

export async function trust(device, { user }) {
    const crypto = device.client.getCrypto();
    const known = await crypto.userHasCrossSigningKeys(user, true);
    return { known, verified: (await crypto.getUserVerificationStatus(user)).isVerified() };
}
