//! Fuzz bodies: what must hold for any bytes. `spec/fuzz` drives them, a test replays them over its corpus.
