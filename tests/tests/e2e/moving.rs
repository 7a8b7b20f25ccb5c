//! README's move from a quickstart to an own PostgreSQL, line by line, on a PostgreSQL as a distribution's package leaves it.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use roost_tests::{
    Quickstart, Server,
    node::{binary, plain, wait_ready},
    port,
    postgres::Postgres,
    process::Process,
    scratch,
    sync::bodies,
    timeline::history,
    turn,
};

/// The lines of the code block that follows `heading`.
fn lines(heading: &str) -> Vec<String> {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).unwrap();
    let (_, rest) = readme.split_once(heading).unwrap_or_else(|| panic!("README has no {heading:?}"));
    let block = rest.split("```").nth(1).expect("a code block");
    block.lines().map(str::to_owned).filter(|line| !line.trim().is_empty()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_of_readme_s_move_works() {
    let _turn = turn::shared().await;
    let mut quickstart = Quickstart::start().await;
    let alice = quickstart.server().user("alice").await;
    let room = alice.public_room("a room").await;
    alice.say(&room, "before the move").await;
    quickstart.terminate().await;

    let postgres = Postgres::start_bare().await;
    let (at, programs) = postgres.place();
    let (folder, port) = (scratch::dir("moving"), port::free());
    let text = format!(
        "server_name = \"localhost\"\n[http]\nlisten = [\"127.0.0.1:{port}\"]\n[media]\npath = \"{}\"\n\
         [database]\nurl = \"postgres://roost:PASSWORD@localhost:{at}/roost\"\n",
        folder.join("media").display()
    );
    fs::write(folder.join("roost.toml"), text).unwrap();
    // A distribution's `postgres` is let in by name; this one, too.
    let sudo = "#!/bin/sh\n[ \"$1 $2\" = '-u postgres' ] && shift 2 && exec env PGUSER=postgres \"$@\"\nexit 1\n";
    fs::write(folder.join("sudo"), sudo).unwrap();
    fs::set_permissions(folder.join("sudo"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = [&folder, programs, binary().parent().unwrap()].map(|folder| folder.display().to_string()).join(":");
    let shell = |line: &str| -> Command {
        // The quickstart of a test lies elsewhere than a newcomer's.
        let here = format!("move.tar --data-dir {}", quickstart.data().display());
        let line = if line.starts_with("roost backup") { line.replace("move.tar", &here) } else { line.to_owned() };
        let mut command = plain(Path::new("sh"));
        command.args(["-c", &format!("exec {line}")]).current_dir(&folder);
        command.env("PGHOST", "127.0.0.1").env("PGPORT", at.to_string());
        command.env("PATH", format!("{path}:{}", std::env::var("PATH").unwrap_or_default()));
        command
    };

    let lines = lines("**Move from quickstart to an own PostgreSQL.**");
    assert_eq!(lines.len(), 5, "{lines:?}");
    let (last, before) = lines.split_last().unwrap();
    for line in before {
        let Output { status, stdout, stderr } = shell(line).output().unwrap();
        let said = [stdout, stderr].map(|it| String::from_utf8_lossy(&it).into_owned());
        assert!(status.success(), "{line}: {said:?}");
    }
    assert!(last.starts_with("roost serve"), "{last}");
    let mut process = Process::spawn("moved", shell(last), &scratch::log("moved"));
    let base = format!("http://127.0.0.1:{port}");
    wait_ready(&base, &mut process, Duration::from_secs(60)).await;
    assert_eq!(bodies(&history(&alice.on(&Server::at(&base)), &room, "b").await), ["before the move"]);
}
