//! Places at live streams: so many for all, for one user, and for one session, so that nobody takes all of them.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use coxswain_wire::UserId;

/// Live streams at a time; each page has one.
const ALL: usize = 256;
/// Of one user, in all browsers.
const USER: usize = 64;
/// Of one session, in all tabs.
const SESSION: usize = 32;

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// This session has all it may have.
    Session,
    /// This user has.
    User,
    /// Others have taken the last ones.
    All,
}

/// Who sits where.
#[derive(Debug, Default)]
pub struct Places {
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    users: HashMap<UserId, usize>,
    sessions: HashMap<[u8; 32], usize>,
}

/// One place; free again when dropped.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    user: UserId,
    session: [u8; 32],
}

impl Places {
    /// Takes a place for a session of a user, if there is one.
    ///
    /// # Errors
    /// There is none.
    pub fn take(self: &Arc<Self>, user: UserId, session: [u8; 32]) -> Result<Place, Full> {
        let mut taken = self.taken();
        let of = |count: Option<&usize>| count.copied().unwrap_or(0);
        if of(taken.sessions.get(&session)) >= SESSION {
            return Err(Full::Session);
        }
        if of(taken.users.get(&user)) >= USER {
            return Err(Full::User);
        }
        if taken.all >= ALL {
            return Err(Full::All);
        }
        taken.all += 1;
        *taken.users.entry(user).or_default() += 1;
        *taken.sessions.entry(session).or_default() += 1;
        Ok(Place {
            places: self.clone(),
            user,
            session,
        })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        // Counts stay usable after a panic elsewhere.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all -= 1;
        leave(&mut taken.users, &self.user);
        leave(&mut taken.sessions, &self.session);
    }
}

fn leave<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_and_a_user_leave_places_for_others() {
        let places = Arc::new(Places::default());
        let sit = |user: i64, session: u8| {
            let mut sitting = Vec::new();
            let full = loop {
                match places.take(UserId(user), [session; 32]) {
                    Ok(place) => sitting.push(place),
                    Err(full) => break full,
                }
            };
            (sitting, full)
        };
        let (first, full) = sit(1, 1);
        assert_eq!((first.len(), full), (32, Full::Session));
        let (second, _) = sit(1, 2);
        let (third, full) = sit(1, 3);
        assert_eq!((second.len(), third.len(), full), (32, 0, Full::User));
        let others: Vec<_> = (2..10).map(|n| sit(i64::from(n), n + 10)).collect();
        let lengths: Vec<usize> = others.iter().map(|(sitting, _)| sitting.len()).collect();
        assert_eq!(lengths, [32, 32, 32, 32, 32, 32, 0, 0]);
        assert_eq!(others[7].1, Full::All);
        drop((first, second, third, others));
        let taken = places.taken();
        assert_eq!(
            (taken.all, taken.users.len(), taken.sessions.len()),
            (0, 0, 0)
        );
    }
}
