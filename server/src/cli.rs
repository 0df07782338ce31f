//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

/// A self-hosted WebSocket connection server.
///
/// Without a command it serves. Settings come from flags, then the environment (DORMOUSE_…), then
/// a file, then defaults; `dormouse config default` prints them all with their meaning.
#[derive(Debug, Parser)]
#[command(name = "dormouse", version)]
pub struct Cli {
    /// What to do; serves by default.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Where settings come from.
    #[command(flatten)]
    pub settings: SettingFlags,
}

/// Flags that every command takes.
#[derive(Args, Clone, Debug, Default)]
pub struct SettingFlags {
    /// Address to listen on, such as 0.0.0.0:8787; may be repeated.
    #[arg(long, value_name = "ADDR", global = true)]
    pub listen: Vec<String>,
    /// Folder for everything that is kept on disk.
    #[arg(long, value_name = "DIR", global = true)]
    pub data_dir: Option<PathBuf>,
    /// Settings file (TOML).
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Any other setting, as in `--set shard.hibernate_after=30s`; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE", global = true)]
    pub set: Vec<String>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve until stopped.
    Serve,
    /// Print a token signed with the configured or kept secret.
    Token(TokenFlags),
    /// List, approve, block and delete accounts; a running server sees it within a second.
    #[command(subcommand)]
    Account(AccountCommand),
    /// Make, list and revoke invitations, for `auth.signup = "invite"` and `"approval"`.
    #[command(subcommand)]
    Invite(InviteCommand),
    /// Make, list or revoke API keys of the event side.
    #[command(subcommand, name = "apikey")]
    ApiKey(ApiKeyCommand),
    /// Make, list, suspend or activate tenants of the event side.
    #[command(subcommand)]
    Tenant(TenantCommand),
    /// Check, compact, export or import the database.
    #[command(subcommand)]
    Db(DbCommand),
    /// Show or check the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Check whether this machine suits the settings, and say what to change.
    Doctor,
    /// Ask a running server whether it is ready; for container health checks.
    Health(HealthFlags),
}

/// What a token is to say.
#[derive(Args, Debug)]
pub struct TokenFlags {
    /// The user whose connections it opens, or the admin's name.
    #[arg(long, value_name = "USER")]
    pub user: String,
    /// The user's tier.
    #[arg(long, value_name = "TIER")]
    pub tier: Option<String>,
    /// An admin token: opens the admin surface and no user's sockets.
    #[arg(long, conflicts_with = "tier")]
    pub admin: bool,
    /// How long it is valid, such as 1h or 30d; the configured lifetime by default.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub ttl: Option<Duration>,
}

/// What to do with accounts.
#[derive(Clone, Debug, Subcommand)]
pub enum AccountCommand {
    /// Print all accounts.
    List {
        /// Only those of this status: pending, active, blocked or deleting.
        #[arg(long, value_name = "STATUS")]
        status: Option<String>,
        /// Print one JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Let an account in: one that waits for approval, or one that was blocked.
    Approve {
        /// The account id, or its public key in hex or base64.
        account: String,
    },
    /// Refuse an account: its key, its tokens and its connections.
    Block {
        /// The account id, or its public key in hex or base64.
        account: String,
    },
    /// Delete an account with all that it has stored, and refuse its tokens.
    Delete {
        /// The account id, or its public key in hex or base64.
        account: String,
    },
}

/// What to do with invitations.
#[derive(Clone, Debug, Subcommand)]
pub enum InviteCommand {
    /// Make an invitation and print its code, which is not shown again.
    Create {
        /// What it is for.
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
        /// How long it is good, such as 1h or 30d; a week by default.
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
        ttl: Option<Duration>,
    },
    /// Print the newest 1000 invitations, without their codes.
    List,
    /// Make an invitation useless; the account that it has made stays.
    Revoke {
        /// The invitation's id.
        id: String,
    },
}

/// What to do with API keys.
#[derive(Debug, Subcommand)]
pub enum ApiKeyCommand {
    /// Make a key and print it. It is stored as a hash, so it cannot be shown again.
    Create(NewApiKey),
    /// List all keys.
    List,
    /// Revoke a key; its connections are closed within seconds.
    Revoke {
        /// The id of the key, or its first eight characters.
        #[arg(value_name = "ID or PREFIX")]
        key: String,
    },
}

/// What a new key is to be.
#[derive(Args, Debug)]
pub struct NewApiKey {
    /// The tenant, made if there is none; events.default_tenant by default.
    #[arg(long, value_name = "ID")]
    pub tenant: Option<String>,
    /// A name for people.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// What it is for; may be repeated. Kept and listed, not enforced.
    #[arg(long = "scope", value_name = "SCOPE")]
    pub scopes: Vec<String>,
    /// Requests a minute; as many as it likes by default.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub rate_limit: Option<u32>,
    /// How long it is valid, such as 90d; for ever by default.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub ttl: Option<Duration>,
}

/// What to do with tenants.
#[derive(Debug, Subcommand)]
pub enum TenantCommand {
    /// Make a tenant and print its id.
    Create {
        /// The id, such as a UUID; made by default.
        #[arg(long, value_name = "ID")]
        id: Option<String>,
        /// A short name; `demo` makes the tenant that others may read. The id by default.
        #[arg(long, value_name = "SLUG")]
        slug: Option<String>,
        /// A name for people.
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
    /// List all tenants.
    List,
    /// Refuse all keys of a tenant.
    Suspend {
        /// The id.
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Take a suspension back.
    Activate {
        /// The id.
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Store made-up call records, to try reports and to measure them. In production of the demo
    /// tenant only.
    Seed(SeedFlags),
}

/// Which records are made up.
#[derive(Args, Debug)]
pub struct SeedFlags {
    /// The tenant, made if there is none; events.default_tenant by default.
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// How many calls.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub records: u64,
    /// They ended in so many days before now.
    #[arg(long, value_name = "COUNT", default_value_t = 7,
          value_parser = clap::value_parser!(u16).range(1..=3660))]
    pub days: u16,
    /// Campaigns, each with a buyer and three publishers.
    #[arg(long, value_name = "COUNT", default_value_t = 20,
          value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub campaigns: u64,
}

/// What to do with the database.
#[derive(Clone, Debug, Subcommand)]
pub enum DbCommand {
    /// Look for damage and count the rows.
    Check,
    /// Give the space of removed rows back to the system. Stop the server first.
    Vacuum,
    /// Write all rows into a new file, one JSON object a line. The server may run.
    Export {
        /// The file to make.
        file: PathBuf,
    },
    /// Add the rows of an export that are not there yet. Stop the server first.
    Import {
        /// The file that was exported.
        file: PathBuf,
    },
}

/// What to do with the configuration.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print all settings with their defaults and meaning, as a file to start from.
    Default,
    /// Check the settings and report every fault.
    Check,
    /// Print the settings in force and where each comes from; secrets are hidden.
    Show,
}

/// Where to ask.
#[derive(Args, Debug)]
pub struct HealthFlags {
    /// The address to ask; the first configured one by default.
    #[arg(long, value_name = "ADDR")]
    pub address: Option<String>,
}
