use super::{Args, run};
use crate::{
    fault::Kind,
    verbs::{
        resume,
        world::{World, arguments, printed, production, ran, system},
    },
};

#[test]
fn one_person_halts_and_two_resume() {
    let world = World::new();
    world.released(1, None, [None, None]);
    let text = printed(|out| run(&arguments::<Args>(&["paydesk", "-e", "production"]), &world.as_person("olga"), out));
    assert!(text.starts_with("paydesk in production: halted by olga, in the log as "), "{text}");
    assert!(text.contains("the agent of this host does not answer"), "{text}");
    let halt = world.view();
    let halt = halt.facts().halted(&system(), &production()).unwrap().index;

    let agree = |who: &str| printed(|out| resume::run(&arguments::<resume::Args>(&[]), &world.as_person(who), out));
    let first = agree("ben");
    assert!(
        first.starts_with(&format!(
            "ben agrees that paydesk goes on in production after halt {halt} by olga; in the log as "
        )),
        "{first}"
    );
    assert!(
        first.ends_with("still halted: 2 different people of the roles that the charter names must agree\n"),
        "{first}"
    );
    let again = agree("ben");
    assert!(again.contains("still halted"), "one person twice is one person: {again}");
    let second = agree("cem");
    assert!(second.ends_with("it goes on\n"), "{second}");
    let fault = ran(|out| resume::run(&arguments::<resume::Args>(&[]), &world.as_person("cem"), out)).1.unwrap_err();
    assert_eq!((fault.kind(), fault.message().as_str()), (Kind::Refused, "paydesk is not halted in production"));
}

#[test]
fn a_halt_that_nobody_took_says_so() {
    let world = World::new();
    let mut common = world.as_person("olga");
    // Nobody listens there: the port was given back.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    common.server = Some(format!("http://{free}"));
    let fault = ran(|out| run(&arguments::<Args>(&[]), &common, out)).1.unwrap_err();
    assert_eq!(fault.kind(), Kind::Unavailable);
    assert!(fault.message().starts_with(&format!("NOT known to be halted: http://{free} does not answer")), "{fault}");
    assert!(fault.message().contains("; and the agent of this host: "), "{fault}");
}

/// The agent's own socket takes it when `front` is gone.
#[test]
fn without_front_the_agent_takes_it() {
    use axum::{Router, body::Bytes, routing::post};
    let world = World::new();
    let mut common = world.as_person("olga");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    common.server = Some(format!("http://{free}"));
    let (send, taken) = std::sync::mpsc::channel();
    let socket = common.layout().socket(crate::identity::RoleUser::Agent);
    std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
    let listener = crate::serve::listen_unix(&socket).unwrap();
    std::thread::spawn(move || {
        let router = Router::new().route("/stop", post(move |body: Bytes| async move { send.send(body).unwrap() }));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(crate::serve::serve_unix(listener, router)).unwrap();
    });
    let text =
        printed(|out| run(&arguments::<Args>(&["-e", "production", "--reason", "smoke in the cellar"]), &common, out));
    assert!(text.starts_with("production: halted by olga; the agent has it, the log does not yet\n"), "{text}");
    assert!(text.contains("the reason was not kept"), "{text}");
    let body = taken.recv_timeout(std::time::Duration::from_secs(5)).unwrap();
    let envelope = crate::submission::read(&body).unwrap().envelope;
    let (statement, by) = ledger::statement::open(&envelope, &world.members).unwrap();
    assert_eq!((statement.claim.kind().name(), by.to_string().as_str()), ("halt", "olga"));
}

/// Front's word that the agent has it is nothing to rely on: who took front over says it as well.
#[test]
fn that_the_agent_has_it_is_not_believed_from_front() {
    use axum::{Router, http::StatusCode, routing::any};
    let world = World::new();
    let mut common = world.as_person("olga");
    let (socket, address) = crate::verbs::world::listener();
    crate::verbs::world::serve(socket, Router::new().fallback(any(|| async { StatusCode::ACCEPTED })));
    common.server = Some(format!("http://{address}"));
    let fault = ran(|out| run(&arguments::<Args>(&[]), &common, out)).1.unwrap_err();
    assert_eq!(fault.kind(), Kind::Unavailable);
    let said = "NOT known to be halted: front says that the agent has it; not confirmed; and the agent of this host: ";
    assert!(fault.message().starts_with(said), "{fault}");
}
