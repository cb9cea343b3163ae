//! Throttling of sign-ins: a token bucket for each name and address, and one for all.
//!
//! Nobody is ever locked out: buckets fill again by themselves, and the bucket of one name and address
//! says nothing about the same name at another address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Buckets kept at most; full ones are dropped first.
const MAX_BUCKETS: usize = 10_000;

/// No name of a user is longer; a longer one is counted by its beginning, so that a bucket stays small.
const LONGEST_NAME: usize = 64;

/// A bucket's size and speed.
#[derive(Clone, Copy, Debug)]
struct Rate {
    burst: f64,
    per_second: f64,
}

/// Five tries at once, then one in ten seconds.
const OWN: Rate = Rate {
    burst: 5.0,
    per_second: 0.1,
};
/// Thirty at once, then five in a second: what bounds the work, not the guesses.
const ALL: Rate = Rate {
    burst: 30.0,
    per_second: 5.0,
};

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    fn full(rate: Rate, at: Instant) -> Self {
        Self {
            left: rate.burst,
            at,
        }
    }

    fn fill(&mut self, rate: Rate, at: Instant) {
        let gained = at.saturating_duration_since(self.at).as_secs_f64() * rate.per_second;
        self.left = (self.left + gained).min(rate.burst);
        self.at = at;
    }

    fn wait(&self, rate: Rate) -> Option<Duration> {
        (self.left < 1.0).then(|| Duration::from_secs_f64((1.0 - self.left) / rate.per_second))
    }
}

/// Counts tries.
#[derive(Debug, Default)]
pub struct Throttle {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    own: HashMap<(String, IpAddr), Bucket>,
    all: Option<Bucket>,
}

impl Throttle {
    /// Takes one try, or says how long to wait for one.
    ///
    /// # Errors
    /// How long to wait.
    pub fn check(&self, name: &str, address: IpAddr, at: Instant) -> Result<(), Duration> {
        let mut state = self.state();
        if state.own.len() >= MAX_BUCKETS {
            state.own.retain(|_, bucket| {
                bucket.fill(OWN, at);
                bucket.left < OWN.burst
            });
        }
        let crowded = state.own.len() >= MAX_BUCKETS;
        let key = key(name, address);
        if !crowded || state.own.contains_key(&key) {
            let own = state
                .own
                .entry(key)
                .or_insert_with(|| Bucket::full(OWN, at));
            own.fill(OWN, at);
            if let Some(wait) = own.wait(OWN) {
                return Err(wait);
            }
            own.left -= 1.0;
        }
        let all = state.all.get_or_insert_with(|| Bucket::full(ALL, at));
        all.fill(ALL, at);
        if let Some(wait) = all.wait(ALL) {
            return Err(wait);
        }
        all.left -= 1.0;
        Ok(())
    }

    /// The last try was good: forget the ones before.
    pub fn forgive(&self, name: &str, address: IpAddr) {
        self.state().own.remove(&key(name, address));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Counts stay usable after a panic elsewhere.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(name: &str, address: IpAddr) -> (String, IpAddr) {
    let name = name.chars().take(LONGEST_NAME).collect::<String>();
    (name.to_ascii_lowercase(), address)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    #[test]
    fn a_guesser_is_slowed_and_others_are_not() {
        let throttle = Throttle::default();
        let start = Instant::now();
        for _ in 0..5 {
            assert!(throttle.check("ann", HERE, start).is_ok());
        }
        assert!(throttle.check("Ann", HERE, start).is_err());
        assert!(throttle.check("ann", THERE, start).is_ok());
        assert!(throttle.check("bob", HERE, start).is_ok());
        assert!(
            throttle
                .check("ann", HERE, start + Duration::from_secs(10))
                .is_ok()
        );
    }

    #[test]
    fn a_flood_from_everywhere_is_bounded_and_passes() {
        let throttle = Throttle::default();
        let start = Instant::now();
        let good = (0..100)
            .filter(|n| throttle.check(&format!("u{n}"), HERE, start).is_ok())
            .count();
        assert_eq!(good, 30);
        assert!(
            throttle
                .check("ann", THERE, start + Duration::from_secs(1))
                .is_ok()
        );
    }

    #[test]
    fn long_names_take_no_room() {
        let throttle = Throttle::default();
        let long = "n".repeat(100_000);
        throttle.check(&long, HERE, Instant::now()).unwrap();
        let state = throttle.state();
        assert!(state.own.keys().all(|(name, _)| name.len() == LONGEST_NAME));
    }

    #[test]
    fn a_good_sign_in_clears_the_count() {
        let throttle = Throttle::default();
        let start = Instant::now();
        for _ in 0..4 {
            throttle.check("ann", HERE, start).unwrap();
        }
        throttle.forgive("ann", HERE);
        for _ in 0..5 {
            assert!(throttle.check("ann", HERE, start).is_ok());
        }
    }
}
