//! A file of media is lost: backups go on and say so, the doctor counts, and the medium can be forgotten.

use std::{fs, path::PathBuf};

use roost_tests::{Quickstart, User, http::text, scratch, turn};

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_file_is_named_by_backup_and_doctor_until_it_is_forgotten() {
    let _turn = turn::shared().await;
    let mut quickstart = Quickstart::start().await;
    let (cli, alice) = (quickstart.cli(), quickstart.server().user("alice").await);
    let (kept, lost) = (upload(&alice).await, upload(&alice).await);
    let backup = |name: &str| scratch::path(name).to_string_lossy().into_owned();
    let (first, second, third) = (backup("whole.tar"), backup("partly.tar"), backup("again.tar"));
    let _ = cli.run(&["backup", &first]).await.ok();
    assert!(cli.run(&["media", "missing"]).await.ok().contains("No file is missing"));
    cli.run(&["media", "forget", &kept]).await.refused(1, "its file is there");

    fs::remove_file(file(&quickstart, &lost)).unwrap();
    let partly = cli.run(&["backup", &second, "--json"]).await;
    partly.refused(3, "THE BACKUP IS NOT WHOLE");
    assert!(partly.err.contains(&lost) && !partly.err.contains(&kept), "{}", partly.err);
    let written: serde_json::Value = serde_json::from_str(&partly.out).expect("JSON all the same");
    assert_eq!(written["missing"], serde_json::json!([lost]));
    assert_eq!(cli.run(&["media", "missing", "--json"]).await.json(), serde_json::json!([lost]));
    let doctor = cli.run(&["doctor"]).await;
    assert!(doctor.out.contains("1 file"), "{}", doctor.out);

    let _ = cli.run(&["media", "forget", &format!("mxc://localhost/{lost}")]).await.ok();
    cli.run(&["media", "forget", &lost]).await.refused(1, "there is no such medium");
    let _ = cli.run(&["backup", &third]).await.ok();

    // What was written in part is a backup of all the rest.
    quickstart.terminate().await;
    fs::remove_dir_all(quickstart.data()).unwrap();
    let _ = cli.run(&["restore", &second]).await.ok();
    quickstart.up();
    quickstart.ready(std::time::Duration::from_secs(60)).await;
    let path = format!("/_matrix/client/v1/media/download/localhost/{kept}");
    assert_eq!(alice.get(&path).await.bytes, b"for friends");
}

/// The new medium's ID.
async fn upload(user: &User) -> String {
    let body = Some(("text/plain", b"for friends".to_vec()));
    let reply = user.server.try_bytes("POST", "/_matrix/media/v3/upload", Some(&user.token), body).await;
    let uri = text(&reply.expect("an answer").ok()["content_uri"]);
    uri.rsplit('/').next().unwrap_or_default().to_owned()
}

fn file(quickstart: &Quickstart, id: &str) -> PathBuf {
    quickstart.data().join("media").join(&id[..2]).join(&id[2..4]).join(id)
}
