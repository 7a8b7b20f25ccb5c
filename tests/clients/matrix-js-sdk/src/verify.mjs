// SAS verification, step by step.
//
// Invariant: no step is taken by itself: each waits for its command, as it waits for a person.

import { VerificationPhase, VerifierEvent } from "matrix-js-sdk/lib/crypto-api/index.js";

export async function request(device, command) {
    const request = await device.client.getCrypto().requestDeviceVerification(command.user, command.device);
    device.flows.set(request.transactionId, { request });
    return { flow: request.transactionId };
}

export async function accept(device, command) {
    const flow = find(device, command);
    if (flow.request.verifier) run(flow, flow.request.verifier);
    else await flow.request.accept();
}

export async function start(device, command) {
    const flow = find(device, command);
    run(flow, await flow.request.startVerification("m.sas.v1"));
}

export async function confirm(device, command) {
    const flow = find(device, command);
    if (!flow.shown) throw new Error("SAS has not come to the emoji");
    flow.confirmed = true;
    await flow.shown.confirm();
}

export async function state(device, command) {
    const { request, shown, confirmed } = find(device, command);
    const emoji = (shown?.sas.emoji ?? []).map(([symbol]) => symbol);
    const cancelled = () => {
        throw new Error(`cancelled: ${request.cancellationCode}`);
    };
    switch (request.phase) {
        case VerificationPhase.Ready:
            return { state: "ready", emoji };
        case VerificationPhase.Started:
            return { state: confirmed ? "confirmed" : shown ? "emoji" : "started", emoji };
        case VerificationPhase.Done:
            return { state: "done", emoji };
        case VerificationPhase.Cancelled:
            return cancelled();
        default:
            return { state: "requested", emoji };
    }
}

/** Follows the verifier to its end; what becomes of it shows in the request's phase. */
function run(flow, verifier) {
    verifier.on(VerifierEvent.ShowSas, (shown) => (flow.shown = shown));
    verifier.verify().catch((error) => console.warn("verification:", error));
}

function find(device, { flow }) {
    const found = device.flows.get(flow);
    if (!found) throw new Error("no such verification");
    return found;
}
