use proptest::prelude::*;

use super::*;

fn routes(settings: RouteSettings) -> Routes {
    Routes::new(settings).unwrap()
}

#[test]
fn realistic_paths() {
    let mut routes = routes(RouteSettings::default());
    let mut check = |path: &str, expect: &str| {
        assert_eq!(routes.route("shop", path, true).as_deref(), Some(expect), "{path}");
    };
    check("/", "/");
    check("/users", "/users");
    check("/users/", "/users/");
    check("/users/42", "/users/{id}");
    check("/users/42/orders/1001", "/users/{id}/orders/{id}");
    check("/api/v1/users/42", "/api/v1/users/{id}");
    check("/api2/v2.1/health", "/api2/v2.1/health");
    check("/oauth2/token", "/oauth2/token");
    check("/k8s/i18n/s3/mp4/sha256/base64/utf-8", "/k8s/i18n/s3/mp4/sha256/base64/utf-8");
    check("/apis/apps/v1beta1/namespaces/default", "/apis/apps/v1beta1/namespaces/default");
    check("/getUserDetails", "/getUserDetails");
    check("/forgot-password", "/forgot-password");
    check("/wp-admin/admin-ajax.php", "/wp-admin/admin-ajax.php");
    check("/o/550e8400-e29b-41d4-a716-446655440000", "/o/{uuid}");
    check("/o/550E8400-E29B-41D4-A716-446655440000/x", "/o/{uuid}/x");
    check("/o/%7B550e8400-e29b-41d4-a716-446655440000%7D", "/o/{uuid}");
    check("/o/550e8400e29b41d4a716446655440000", "/o/{hash}");
    check("/commit/3f9a1c2b", "/commit/{hash}");
    check("/commit/da39a3ee5e6b4b0d3255bfef95601890afd80709", "/commit/{hash}");
    check("/tx/0x1f", "/tx/{hash}");
    check("/o/507f1f77bcf86cd799439011", "/o/{hash}");
    check("/o/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/o/{token}");
    check("/o/0ujtsYcgvSTl8PAuAdqWYSMnLOv", "/o/{token}");
    check("/o/V1StGXR8_Z5jdHi6B-myT", "/o/{token}");
    check("/watch/dQw4w9WgXcQ", "/watch/{token}");
    check("/cus/cus_NffrFeUfNV2Hib", "/cus/{token}");
    check(
        "/t/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
        "/t/{token}",
    );
    check("/t/SGVsbG8gV29ybGQ=", "/t/{token}");
    check("/t/dGVzdA==", "/t/{token}");
    check("/orders/order-1042", "/orders/{id}");
    check("/orders/INV20240001", "/orders/{id}");
    check("/orders/user_7781", "/orders/{id}");
    check("/day/2024-05-17", "/day/{date}");
    check("/day/2024-05", "/day/{date}");
    check("/day/2024-05-17T10:00:00Z", "/day/{date}");
    check("/day/2024-05-17T10%3A00%3A00%2B02%3A00", "/day/{date}");
    check("/2024/05/17/title", "/{id}/{id}/{id}/title");
    check("/mail/jane.doe@example.com", "/mail/{email}");
    check("/mail/jane%40example.com", "/mail/{email}");
    check("/@jane/posts", "/{handle}/posts");
    check("/call/+4915112345678", "/call/{phone}");
    check("/ip/10.0.0.1", "/ip/{ip}");
    check("/ip/fe80::1", "/ip/{ip}");
    check("/many/1,2,3", "/many/{ids}");
    check("/at/52.5,13.4", "/at/{ids}");
    check("/n/-12", "/n/{number}");
    check("/n/12.5", "/n/{number}");
    check("/assets/app.3f9a1c2b.js", "/assets/{file}.js");
    check("/assets/main-3f9a1c2b.min.CSS", "/assets/{file}.css");
    check("/assets/chunk.BxT3kQ9z.js", "/assets/{file}.js");
    check("/assets/logo.png", "/assets/logo.png");
    check("/assets/jquery-3.7.1.min.js", "/assets/jquery-3.7.1.min.js");
    check("/files/12345.jpg", "/files/{id}.jpg");
    check("/files/550e8400-e29b-41d4-a716-446655440000.pdf", "/files/{uuid}.pdf");
    check("/files/report-2024.pdf", "/files/{id}.pdf");
    check("/files/2024-05-17.csv", "/files/{date}.csv");
    check("/pods/42:cancel", "/pods/{id}:cancel");
    check("/odata/Users(42)/Name", "/odata/Users({id})/Name");
    check("/odata/Users()", "/odata/Users()");
    check("/list/page=3", "/list/page={value}");
    check("/a;jsessionid=1F2/b", "/a/b");
    check("/wiki/Caf%C3%A9", "/wiki/{segment}");
    check("/wiki/my%20page", "/wiki/{segment}");
    check("//a", "//a");
    check(&format!("/t/{}", "x".repeat(300)), "/t/{token}");
    check(&"/a".repeat(20), &("/a".repeat(15) + "/{*}"));
}

#[test]
fn what_is_no_path_has_no_route() {
    let mut routes = routes(RouteSettings::default());
    for path in ["*", "", "h:443"] {
        assert_eq!(routes.route("shop", path, true), None);
    }
}

#[test]
fn patterns_go_first_and_templates_can_be_off() {
    let patterns = vec!["/users/{name}".to_owned()];
    let mut routes = routes(RouteSettings { patterns, automatic: false, ..RouteSettings::default() });
    assert_eq!(routes.route("shop", "/users/jane", true).as_deref(), Some("/users/{name}"));
    assert_eq!(routes.route("shop", "/orders", true), None);
}

#[test]
fn a_place_with_too_many_words_collapses_and_keeps_the_common_ones() {
    let mut routes = routes(RouteSettings { words_per_place: 10, ..RouteSettings::default() });
    let mut route = |path: &str| routes.route("shop", path, true).unwrap().to_string();
    for _ in 0..50 {
        route("/u/settings");
    }
    let name = |n: u8| format!("/u/name{}/posts", char::from(b'a' + n));
    for n in 0..9 {
        assert_eq!(route(&name(n)), name(n));
    }
    assert_eq!(route(&name(9)), "/u/{segment}/posts");
    assert_eq!(route(&name(0)), "/u/{segment}/posts");
    assert_eq!(route("/u/settings"), "/u/settings");
    assert_eq!(route("/u/77"), "/u/{id}");
    assert_eq!(route("/other"), "/other");
    assert_eq!(routes.counters(), RouteCounters { collapsed: 1, ..RouteCounters::default() });
}

#[test]
fn what_was_not_found_is_not_learnt() {
    let mut routes = routes(RouteSettings { words_per_place: 2, ..RouteSettings::default() });
    assert_eq!(routes.route("shop", "/cart", true).as_deref(), Some("/cart"));
    for probe in ["/.env", "/phpmyadmin", "/cgi-bin/x"] {
        assert!(routes.route("shop", probe, false).unwrap().starts_with("/{segment}"));
    }
    assert_eq!(routes.route("shop", "/cart", false).as_deref(), Some("/cart"));
    assert_eq!(routes.route("shop", "/pay", true).as_deref(), Some("/pay"));
    assert_eq!(routes.counters().collapsed, 0);
}

#[test]
fn tables_are_bounded() {
    let settings = RouteSettings { places_per_service: 3, services: 1, ..RouteSettings::default() };
    let mut routes = routes(settings);
    let mut route = |service: &str, path: &str| routes.route(service, path, true).unwrap().to_string();
    assert_eq!(route("a", "/x/y/z"), "/x/y/z");
    assert_eq!(route("a", "/x/w"), "/x/{*}");
    assert_eq!(route("a", "/x/y/z"), "/x/y/z");
    assert_eq!(route("b", "/q"), "/q");
    assert_eq!(routes.counters(), RouteCounters { collapsed: 0, table_full: 1, services_shared: 1 });
}

#[test]
fn a_collapsed_place_gives_its_room_back() {
    let settings = RouteSettings { places_per_service: 12, words_per_place: 4, ..RouteSettings::default() };
    let mut routes = routes(settings);
    for name in ["a", "b", "c", "d", "e"] {
        routes.route("shop", &format!("/{name}/x"), true);
    }
    assert_eq!(
        routes.route("shop", "/f/x/1/2/3/4", true).as_deref(),
        Some("/{segment}/x/{id}/{id}/{id}/{id}")
    );
    assert_eq!(routes.counters(), RouteCounters { collapsed: 1, ..RouteCounters::default() });
}

proptest! {
    #[test]
    fn a_template_has_no_more_segments_than_its_path(path in "/[a-zA-Z0-9%/.:;=(){}@,+~é_-]{0,120}") {
        let mut routes = routes(RouteSettings::default());
        let route = routes.route("shop", &path, true).unwrap();
        prop_assert!(route.split('/').count() <= path.split('/').count(), "{}", route);
        prop_assert_eq!(routes.route("shop", &path, true), Some(route));
    }

    #[test]
    fn any_path_is_survived(paths in proptest::collection::vec("/\\PC{0,60}", 1..20)) {
        let mut routes = routes(RouteSettings { words_per_place: 2, places_per_service: 8, ..RouteSettings::default() });
        for path in &paths {
            prop_assert!(routes.route("shop", path, true).is_some());
        }
    }

    #[test]
    fn numbers_and_hashes_never_stay(number: u64, hash in "[0-9a-f]{7}[0-9][0-9a-f]{0,32}") {
        let mut routes = routes(RouteSettings::default());
        let route = routes.route("shop", &format!("/a/{number}/{hash}"), true).unwrap();
        // `0000e000` is a number, too.
        prop_assert!(["/a/{id}/{hash}", "/a/{id}/{id}", "/a/{id}/{number}"].contains(&&*route), "{}", route);
    }
}
