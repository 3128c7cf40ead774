//! A member of a consumer group, by the classic protocol with the range rule.
//!
//! A task of its own joins, sends heartbeats and commits; the owner polls. What one `poll` gave
//! counts as dealt with when the next one is called, and is committed from then on: a crash
//! repeats records, it never skips them.

mod assign;
mod machine;
mod member;
pub(crate) mod membership;

use std::fmt;
use std::time::Duration;

use protocol::messages::leave_group::{LeaveGroupRequest, MemberIdentity};
use runtime::channel::{WatchReceiver, watch};
use runtime::task::{self, Task};
use runtime::timer;

use crate::admin::OffsetAt;
use crate::client::{Client, CoordinatorKind};
use crate::consumer::{Consumer, Fetched};
use crate::error::ClientError;
use crate::options::{GroupOptions, StartAt};
use crate::pool::Lane;

use assign::Partitions;
use machine::Machine;
use member::{Member, Standing, Taken, commit_taken};
use membership::Membership;

/// A member of a consumer group. Dropping it without `close` leaves its partitions unread until
/// the session times out.
pub struct GroupConsumer {
    client: Client,
    options: GroupOptions,
    consumer: Consumer,
    lane: Lane,
    member: Task<()>,
    standing: WatchReceiver<Standing>,
    taken: Taken,
    given: Vec<((String, i32), i64)>,
    // The generation whose partitions are being read.
    generation: i32,
    // The standing has changed and is not followed yet.
    is_behind: bool,
}

impl fmt::Debug for GroupConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GroupConsumer({}, {:?})", self.options.group, *self.standing.borrow())
    }
}

impl Drop for GroupConsumer {
    fn drop(&mut self) {
        self.member.abort();
        self.client.close_lane(self.lane);
    }
}

impl GroupConsumer {
    pub(crate) fn new(client: Client, options: GroupOptions) -> Self {
        let (sender, standing) = watch(Standing::Joining);
        let taken = Taken::default();
        let lane = client.own_lane();
        let member = Member {
            client: client.clone(),
            options: options.clone(),
            lane,
            standing: sender,
            taken: Taken::clone(&taken),
            machine: Machine::new(),
            failures: 0,
        };
        Self {
            consumer: client.consumer(options.consumer.clone()),
            member: task::spawn("group-member", member.run()),
            client,
            options,
            lane,
            standing,
            taken,
            given: Vec::new(),
            generation: Membership::none().generation,
            is_behind: false,
        }
    }

    /// What has been fetched of the partitions that this member has; nothing when the time is
    /// over, or while the group is being rebalanced.
    ///
    /// # Errors
    /// What the coordinator refused for good, and the errors of [`Consumer::poll`].
    pub async fn poll(&mut self, wait: Duration) -> Result<Vec<Fetched>, ClientError> {
        let deadline = timer::now() + wait;
        self.take_given();
        loop {
            self.is_behind |= self.standing.has_changed().unwrap_or(false);
            if self.is_behind {
                self.follow().await?;
                self.is_behind = false;
            }
            let left = deadline.saturating_duration_since(timer::now());
            runtime::select! {
                fetched = self.consumer.poll(left) => {
                    let fetched = fetched?;
                    self.given.extend(fetched.iter().map(|it| {
                        ((it.topic.to_string(), it.partition), it.next_offset)
                    }));
                    return Ok(fetched);
                }
                // An error means that the member has ended, which `follow` has told.
                Ok(()) = self.standing.changed() => self.standing.mark_changed(),
            }
        }
    }

    /// Commits everything that was given, without waiting for the next automatic commit.
    ///
    /// # Errors
    /// The coordinator's refusal, as after a rebalance.
    pub async fn commit(&mut self) -> Result<(), ClientError> {
        self.take_given();
        let membership = self.membership();
        commit_taken(&self.client, &self.options.group, &membership, &self.taken).await
    }

    /// The partitions that this member has now.
    pub fn assignment(&self) -> impl Iterator<Item = (&str, i32)> {
        self.consumer.assignment()
    }

    /// How the partitions are read: positions and watermarks.
    #[must_use]
    pub fn consumer(&self) -> &Consumer {
        &self.consumer
    }

    /// Commits (unless automatic commits are off) and leaves the group, so that others take the
    /// partitions at once.
    ///
    /// # Errors
    /// The coordinator's refusal of the commit; leaving is tried in any case.
    pub async fn close(mut self) -> Result<(), ClientError> {
        let membership = self.membership();
        let committed =
            if self.options.auto_commit_every.is_some() { self.commit().await } else { Ok(()) };
        self.member.abort();
        if !membership.member.is_empty() {
            let left = self.leave(membership).await;
            if let Err(error) = left {
                tracing::debug!(%error, group = %self.options.group, "member could not leave");
            }
        }
        committed
    }

    async fn leave(&self, membership: Membership) -> Result<(), ClientError> {
        let group = self.options.group.as_str();
        let node = self.client.coordinator(CoordinatorKind::Group, group).await?;
        let connection = self.client.node(node, Lane::Shared).await?;
        let version = connection.versions.of(protocol::api::ApiKey::LeaveGroup)?;
        let identity = MemberIdentity { member_id: membership.member, ..Default::default() };
        let mut request = LeaveGroupRequest { group_id: group.to_owned(), ..Default::default() };
        // Version 3 lets several members leave at once.
        if version >= 3 {
            request.members = vec![identity];
        } else {
            request.member_id = identity.member_id;
        }
        connection.call(&request).await.map(drop)
    }

    fn membership(&self) -> Membership {
        match &*self.standing.borrow() {
            Standing::Reading { membership, .. } => membership.clone(),
            Standing::Joining | Standing::Failed(_) => Membership::none(),
        }
    }

    /// What was given has been dealt with by now.
    fn take_given(&mut self) {
        let mut taken = self.taken.lock().expect("no holder of the positions panics");
        // After a rebalance the partitions may be somebody else's, with positions of his own.
        if taken.generation == self.generation {
            taken.next_offsets.extend(self.given.drain(..));
        }
        self.given.clear();
    }

    /// Reads what the member has been assigned.
    async fn follow(&mut self) -> Result<(), ClientError> {
        let standing = self.standing.borrow_and_update().clone();
        self.given.clear();
        self.consumer.assign([]);
        match standing {
            Standing::Joining => Ok(()),
            Standing::Failed(error) => Err(error),
            Standing::Reading { membership, partitions } => {
                self.generation = membership.generation;
                self.start(&partitions).await
            }
        }
    }

    async fn start(&mut self, partitions: &Partitions) -> Result<(), ClientError> {
        let wanted: Vec<(&str, i32)> = partitions
            .iter()
            .flat_map(|(topic, numbers)| numbers.iter().map(move |it| (topic.as_str(), *it)))
            .collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let admin = self.client.admin();
        let committed = admin.committed_offsets(&self.options.group, Some(&wanted), true).await?;
        let position = |it: &(&str, i32)| committed.get(&(it.0.to_owned(), it.1));
        let fresh: Vec<(&str, i32)> =
            wanted.iter().filter(|it| position(it).is_none()).copied().collect();
        let at = match self.options.start_at {
            StartAt::Earliest => OffsetAt::Earliest,
            StartAt::Latest => OffsetAt::Latest,
        };
        let isolation = self.options.consumer.isolation;
        let mut listed = Default::default();
        if !fresh.is_empty() {
            listed = admin.list_offsets(&fresh, at, isolation).await?;
        }
        for it in &wanted {
            let start = listed.get(&(it.0.to_owned(), it.1)).map_or(0, |listed| listed.offset);
            let offset = position(it).map_or(start, |committed| committed.offset);
            self.consumer.add(it.0, it.1, offset);
        }
        Ok(())
    }
}
