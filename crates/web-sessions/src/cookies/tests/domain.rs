//! A session cookie that the hosts of a domain share.

use super::*;

#[test]
fn a_shared_session_names_its_domain_and_a_login_does_not() {
    let cookies = cookies().with_dangerous_domain("lab.example").with_name("doorward-lab");
    let session = |cookies: &Cookies, request: &HeaderMap, text: &str| {
        let set = cookies.set_session(request, &ticket(text), HOUR).unwrap();
        set.values().iter().map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let attributes = "HttpOnly; SameSite=Lax; Secure; Path=/; Domain=lab.example; Max-Age";
    assert_eq!(
        session(&cookies, &HeaderMap::new(), "abc"),
        [format!("__Secure-doorward-lab=abc; {attributes}=3600")]
    );
    let long = session(&cookies, &request("__Secure-doorward-lab=old"), &"x".repeat(4000));
    assert!(long.len() > 2 && long.iter().all(|one| one.contains("; Domain=lab.example;")));
    let shared = request("__Secure-doorward-lab=abc");
    assert!(cookies.session_ticket(&shared).is_some());
    assert!(cookies.session_ticket(&request("__Host-doorward-lab=abc")).is_none());
    let cleared = cookies.clear_session(&shared);
    let cleared = cleared.values();
    let removed = cleared[0].to_str().unwrap();
    assert_eq!(removed, format!("__Secure-doorward-lab=; {attributes}=0"));

    let begun =
        cookies.begin_login(&HeaderMap::new(), "state", &1, SystemTime::UNIX_EPOCH + HOUR).unwrap();
    let begun = begun.values();
    let login = begun[0].to_str().unwrap();
    assert!(login.starts_with("__Host-doorward-lab-login-"), "{login}");
    assert!(!login.contains("Domain="), "{login}");

    let plain = Cookies::new(&"http://app.lab.localhost".parse().unwrap(), keys());
    let plain = plain.with_dangerous_domain("lab.localhost");
    assert_eq!(
        session(&plain, &HeaderMap::new(), "abc"),
        ["doorward=abc; HttpOnly; SameSite=Lax; Path=/; Domain=lab.localhost; Max-Age=3600"]
    );
    let begun =
        plain.begin_login(&HeaderMap::new(), "state", &1, SystemTime::UNIX_EPOCH + HOUR).unwrap();
    assert!(!begun.values()[0].to_str().unwrap().contains("Domain="));
}
