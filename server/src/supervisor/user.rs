//! As whom a worker runs: names become numbers, and what cannot be is said before anything is started.

use nix::unistd::{Gid, Group, Uid, User};

/// Somebody to run as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub user: u32,
    pub group: u32,
    /// Name and home; nothing is known of a user that has only a number.
    pub home: Option<(String, String)>,
}

/// `user` or `user:group`, by name or number. Without a group it is the user's own.
pub fn find(text: &str) -> Result<Account, String> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let known = match user.parse() {
        Ok(number) => User::from_uid(Uid::from_raw(number)),
        Err(_) => User::from_name(user),
    };
    let known = known.map_err(|error| format!("the user {user:?} cannot be looked up: {error}"))?;
    let number = match (&known, user.parse()) {
        (Some(known), _) => known.uid.as_raw(),
        (None, Ok(number)) => number,
        (None, Err(_)) => return Err(format!("there is no user {user:?}")),
    };
    let group = match (group, &known) {
        (Some(group), _) => find_group(group)?,
        (None, Some(known)) => known.gid.as_raw(),
        (None, None) => return Err(format!("the user {user} has no entry: say its group, too, as {user}:GROUP")),
    };
    check(text, number, group, (Uid::effective(), Gid::effective()))?;
    let home = known.map(|known| (known.name, known.dir.to_string_lossy().into_owned()));
    Ok(Account { user: number, group, home })
}

fn find_group(group: &str) -> Result<u32, String> {
    if let Ok(number) = group.parse() {
        return Ok(number);
    }
    let known = Group::from_name(group).map_err(|error| format!("the group {group:?} cannot be looked up: {error}"))?;
    known.map(|known| known.gid.as_raw()).ok_or_else(|| format!("there is no group {group:?}"))
}

fn check(text: &str, user: u32, group: u32, (own, own_group): (Uid, Gid)) -> Result<(), String> {
    if own.is_root() || (own.as_raw(), own_group.as_raw()) == (user, group) {
        return Ok(());
    }
    Err(format!("it cannot run as {text:?}: the broker runs as user {own}, and only root may run processes as others"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_groups_are_found_by_name_and_number() {
        let root = Account { user: 0, group: 0, home: Some(("root".into(), "/root".into())) };
        if Uid::effective().is_root() {
            assert_eq!(["root", "0", "root:0", "0:root"].map(|text| find(text).unwrap()), [(); 4].map(|()| root.clone()));
        }
        assert_eq!(find("nobody-at-all").unwrap_err(), "there is no user \"nobody-at-all\"");
        assert_eq!(find("root:nobody-at-all").unwrap_err(), "there is no group \"nobody-at-all\"");
        assert!(find("3999999999").unwrap_err().contains("say its group"));
    }

    #[test]
    fn only_root_runs_processes_as_others() {
        let own = (Uid::from_raw(1000), Gid::from_raw(1000));
        assert!(check("me", 1000, 1000, own).is_ok());
        assert!(check("root", 0, 0, own).unwrap_err().contains("only root"));
        assert!(check("www", 33, 33, (Uid::from_raw(0), Gid::from_raw(0))).is_ok());
    }
}
