//! The one pass in which a node is built.

use std::sync::Arc;

use sqlx::PgPool;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    StartError,
    logging::{Level, SettingsChanged},
};
use crate::{
    account::Account,
    bell::{self, Bell},
    config::Config,
    http::{Api, Health, Limits, Sampled, Site},
    keys::{self, Identity, Keys, KnownKeys},
    log::{self, Apply, Log, Writer},
    media::{self, Media},
    presence::Presence,
    push::{self, Push},
    rooms::{self, Rooms},
    storage::{Database, Interner, disk, generation::Standing},
    sync::{self, Sync},
    users::{self, AccountData, PushRules, TokenCache, Users},
};

/// What a node is made of, as far as its end needs to know.
pub(super) struct Node {
    pub api: Api,
    pub sampled: Sampled,
    /// Background tasks; they end at [`Node::shutdown`].
    pub tasks: TaskTracker,
    /// Cancelled first: readiness goes and long-polls return.
    pub draining: CancellationToken,
    /// Cancelled when no request is left: the last group commit is flushed.
    pub shutdown: CancellationToken,
}

/// Builds all rooms, from the lowest rank up. `seen`: what the node before this one had seen of the log, where this one takes
/// its place.
pub(super) async fn build(
    config: &Config,
    database: &Database,
    level: Level,
    seen: Option<Standing>,
) -> Result<Node, StartError> {
    let identity = Identity::load(&database.pool, &config.server_name, config.secrets.key_file.as_deref()).await?;
    let (ground, memories) = Ground::lay(config, database, seen).await?;
    ground.spawn(|shutdown| level.follow(ground.pool.clone(), memories.settings, shutdown));
    let private = config.database.url.is_none().then(|| config.data_dir.clone());
    ground.spawn(|shutdown| disk::watch(ground.pool.clone(), private, shutdown));

    let users = ground.users(Arc::clone(&memories.tokens));
    let keys = ground.keys(memories.keys, &users);
    let rooms = ground.rooms(&identity, memories.rooms);
    let push_rules = PushRules::new(ground.pool.clone(), ground.log.clone());
    let account_data = AccountData::new(ground.pool.clone(), ground.log.clone());
    let account = Account::new(users.clone(), rooms.clone(), memories.tokens, push_rules.clone(), account_data.clone());
    ground.spawn(|shutdown| account.clone().departures(shutdown));
    let media = ground.media().await?;
    let presence = ground.presence();
    let push = ground.push(&rooms, memories.push).await?;
    let below = Below { rooms: &rooms, keys: &keys, presence: &presence, push_rules: &push_rules };
    let sync = ground.sync(below, memories.sync);

    let (log, bell, pool) = (ground.log, ground.bell, ground.pool);
    let draining = ground.draining.clone();
    let health = Health { log: log.clone(), bell: bell.clone(), media: media.clone(), draining };
    let sampled = Sampled { pool, log: log.clone(), bell };
    let (limits, site) = (Limits::new(&config.rate_limits), Site::new(config));
    let api = Api {
        log,
        health,
        limits,
        site,
        identity,
        users,
        account,
        account_data,
        keys,
        presence,
        rooms,
        media,
        push,
        push_rules,
        sync,
    };
    Ok(Node { api, sampled, tasks: ground.tasks, draining: ground.draining, shutdown: ground.shutdown })
}

/// What follows the log: it stands before the log does, which tells it what changes.
struct Memories {
    rooms: rooms::Caches,
    tokens: Arc<TokenCache>,
    sync: sync::Caches,
    settings: Arc<SettingsChanged>,
    keys: Arc<KnownKeys>,
    push: Arc<push::Follow>,
}

impl Memories {
    async fn new(interner: &Interner) -> Result<Self, StartError> {
        Ok(Self {
            rooms: rooms::Caches::new(),
            tokens: Arc::default(),
            sync: sync::Caches::new(interner).await?,
            settings: Arc::default(),
            keys: Arc::default(),
            push: Arc::new(push::Follow::new()),
        })
    }

    /// In the order in which they are told.
    fn followers(&self) -> Vec<Arc<dyn Apply>> {
        let mut followers = self.rooms.followers();
        followers.push(Arc::clone(&self.tokens) as _);
        followers.extend(self.sync.followers());
        followers.push(Arc::clone(&self.settings) as _);
        followers.push(Arc::clone(&self.keys) as _);
        followers.push(Arc::clone(&self.push) as _);
        followers
    }
}

/// What every room stands on.
struct Ground<'a> {
    config: &'a Config,
    database: &'a Database,
    pool: PgPool,
    bell: Bell,
    interner: Interner,
    log: Log,
    tasks: TaskTracker,
    draining: CancellationToken,
    shutdown: CancellationToken,
}

/// What a sync reads.
struct Below<'a> {
    rooms: &'a Rooms,
    keys: &'a Keys,
    presence: &'a Presence,
    push_rules: &'a PushRules,
}

impl<'a> Ground<'a> {
    async fn lay(
        config: &'a Config,
        database: &'a Database,
        seen: Option<Standing>,
    ) -> Result<(Self, Memories), StartError> {
        let (tasks, draining, shutdown) = (TaskTracker::new(), CancellationToken::new(), CancellationToken::new());
        let pool = database.pool.clone();
        let owner = bell::Owner { tasks: tasks.clone(), shutdown: shutdown.clone() };
        let bell = Bell::open(&config.nats, config.server_name.as_str(), owner).await?;
        let interner = Interner::new(pool.clone());
        let memories = Memories::new(&interner).await?;
        let log = Log::start(log::Options {
            pool: pool.clone(),
            connect: database.connect.clone(),
            bell: bell.clone(),
            caches: memories.followers(),
            shutdown: shutdown.clone(),
            tasks: tasks.clone(),
            seen,
        })
        .await?;
        Ok((Self { config, database, pool, bell, interner, log, tasks, draining, shutdown }, memories))
    }

    /// A task of the node's, told when to end.
    fn spawn<F>(&self, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.spawn(task(self.shutdown.clone()));
    }

    fn users(&self, tokens: Arc<TokenCache>) -> Users {
        let users = Users::new(users::Parts {
            pool: self.pool.clone(),
            writer: Writer::Node(self.log.clone()),
            interner: self.interner.clone(),
            tokens,
            server_name: self.config.server_name.clone(),
            registration: self.config.registration.clone(),
        });
        self.spawn(|shutdown| users.clone().housekeeping(shutdown));
        users
    }

    fn keys(&self, known: Arc<KnownKeys>, users: &Users) -> Keys {
        let keys = Keys::new(keys::Parts {
            pool: self.pool.clone(),
            log: self.log.clone(),
            bell: self.bell.clone(),
            interner: self.interner.clone(),
            server_name: self.config.server_name.clone(),
            known,
            moments: users.moments(),
        });
        self.spawn(|shutdown| keys.clone().hear(shutdown));
        keys
    }

    fn rooms(&self, identity: &Identity, caches: rooms::Caches) -> Rooms {
        let rooms = Rooms::new(rooms::Options {
            pool: self.pool.clone(),
            interner: self.interner.clone(),
            log: self.log.clone(),
            signer: identity.signer().clone(),
            server_name: self.config.server_name.clone(),
            default_version: self.config.rooms.default_version,
            caches,
        });
        self.spawn(|shutdown| rooms.clone().take_in_words(shutdown));
        self.spawn(|shutdown| rooms.clone().go_on_upgrading(shutdown));
        rooms
    }

    async fn media(&self) -> Result<Media, StartError> {
        let (folder, config) = (self.config.media_path(), &self.config.media);
        let media = Media::open(media::Options {
            pool: self.pool.clone(),
            folder: folder.clone(),
            server_name: self.config.server_name.clone(),
            limits: media::Limits { upload: config.max_upload_size, user: config.user_quota },
            serve_unauthenticated: config.serve_unauthenticated,
            previews: config.url_previews.then(|| config.url_preview_allow.clone()),
            tasks: self.tasks.clone(),
        })
        .await;
        let media = media.map_err(|source| StartError::Media { folder, source })?;
        self.spawn(|shutdown| media.clone().housekeeping(shutdown));
        self.spawn(|shutdown| media.clone().watch_folder(shutdown));
        Ok(media)
    }

    fn presence(&self) -> Presence {
        let enabled = self.config.presence.enabled;
        Presence::start(self.log.clone(), self.bell.clone(), enabled, self.shutdown.clone(), &self.tasks)
    }

    async fn push(&self, rooms: &Rooms, follow: Arc<push::Follow>) -> Result<Push, StartError> {
        let options = push::Options {
            pool: self.pool.clone(),
            connect: self.database.connect.clone(),
            log: self.log.clone(),
            bell: self.bell.clone(),
            rooms: rooms.clone(),
            follow,
            allowed_private_networks: self.config.push.allowed_private_networks.clone(),
        };
        Ok(Push::start(options, self.shutdown.clone(), &self.tasks).await?)
    }

    fn sync(&self, below: Below<'_>, caches: sync::Caches) -> Sync {
        let sync = Sync::new(sync::Options {
            pool: self.pool.clone(),
            log: self.log.clone(),
            rooms: below.rooms.clone(),
            keys: below.keys.clone(),
            presence: below.presence.clone(),
            push_rules: below.push_rules.clone(),
            caches,
            draining: self.draining.clone(),
        });
        self.spawn(|shutdown| sync.clone().keep_connections(shutdown));
        if self.config.presence.enabled {
            self.spawn(|shutdown| sync.clone().carry_presence(shutdown));
        }
        sync
    }
}
