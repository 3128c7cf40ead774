//! Record batches from outside: Kafka's own bytes, a second implementation, chance and malice.

#[cfg(test)]
mod golden;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod peer;
#[cfg(test)]
mod roundtrip;
