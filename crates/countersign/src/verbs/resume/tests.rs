use super::{Args, run};
use crate::verbs::{
    halt,
    world::{World, arguments, printed, ran},
};

#[test]
fn a_halt_of_everything_is_found_and_who_may_not_resume_is_told() {
    let world = World::new();
    world.released(1, None, [None, None]);
    printed(|out| halt::run(&arguments::<halt::Args>(&[]), &world.as_person("pim"), out));
    let fault = ran(|out| run(&arguments::<Args>(&["paydesk"]), &world.as_person("ada"), out)).1.unwrap_err();
    assert_eq!(fault.message(), "ada holds no role that may say `resume`");
    printed(|out| run(&arguments::<Args>(&["paydesk"]), &world.as_person("ben"), out));
    let json = printed(|out| {
        run(&arguments::<Args>(&["paydesk", "-e", "production"]), &World::json(&world.as_person("cem")), out)
    });
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((json["resumed"].as_bool(), json["by"].as_str()), (Some(true), Some("cem")));
}
