//! `java`: a name given as a property, the jar, the module or the main class.

use super::{Launch, Name, naming};

const WITH_VALUE: [&str; 14] = [
    "-cp",
    "-classpath",
    "--class-path",
    "-p",
    "--module-path",
    "--upgrade-module-path",
    "--add-modules",
    "--add-opens",
    "--add-exports",
    "--add-reads",
    "--limit-modules",
    "--patch-module",
    "--source",
    "--enable-native-access",
];

pub(super) fn name(arguments: &[String], launch: &Launch<'_>) -> Option<Name> {
    for property in ["-Dotel.service.name=", "-Dspring.application.name=", "--spring.application.name="] {
        if let Some(given) = arguments.iter().find_map(|argument| argument.strip_prefix(property)) {
            return Some(Name::good(given));
        }
    }
    if let Some(given) = launch.variable("SPRING_APPLICATION_NAME") {
        return Some(Name::good(given));
    }
    let mut at = 0;
    loop {
        let argument = arguments.get(at)?.as_str();
        match argument {
            "-jar" => return Some(jar(arguments.get(at + 1)?, launch)),
            "-m" | "--module" => return module(arguments.get(at + 1)?),
            _ if WITH_VALUE.contains(&argument) => at += 2,
            _ if argument.starts_with('-') || argument.starts_with('@') => at += 1,
            _ => return Some(main_class(argument, launch)),
        }
    }
}

/// `shop-1.4.2-SNAPSHOT.jar` → `shop`.
fn jar(path: &str, launch: &Launch<'_>) -> Name {
    let stem = path.strip_suffix(".jar").or_else(|| path.strip_suffix(".war")).unwrap_or(path);
    let (directory, file) = stem.rsplit_once('/').unwrap_or(("", stem));
    let version =
        file.match_indices('-').find(|(at, _)| file[at + 1..].starts_with(|c: char| c.is_ascii_digit()));
    let file = match version {
        Some((at, _)) if at > 0 => &file[..at],
        _ => file,
    };
    // `of_script` cuts an extension, and a version may have left dots in the name.
    let whole = if directory.is_empty() { format!("{file}.jar") } else { format!("{directory}/{file}.jar") };
    let path = if stem.starts_with('/') && directory.is_empty() { format!("/{file}.jar") } else { whole };
    naming::of_script(&path, launch.directory)
}

/// `module/main.class` or `module`.
fn module(argument: &str) -> Option<Name> {
    let name = argument.rsplit('/').next()?;
    Some(Name::good(name))
}

fn main_class(class: &str, launch: &Launch<'_>) -> Name {
    match class {
        "org.apache.catalina.startup.Bootstrap" => Name::good("tomcat"),
        // Spring Boot's launchers say nothing about what they launch.
        _ if class.starts_with("org.springframework.boot.loader.") => launch.directory_or(class),
        _ if class.ends_with(".java") => naming::of_script(class, launch.directory),
        _ => Name::good(class),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::check as check_any;

    #[track_caller]
    fn check(command_line: &str, expect: &str) {
        check_any("/srv/orders", "/usr/lib/jvm/java-17-openjdk-amd64/bin/java", command_line, expect);
    }

    #[test]
    fn jars() {
        check("java -Xmx1g -jar shop.jar --server.port=80", "shop");
        check("java -jar /opt/shop-1.4.2-SNAPSHOT.jar", "shop");
        check("java -jar /opt/order-service-2.jar", "order-service");
        check("java -jar /app/app.jar", "app");
        check("java -jar target/app.jar", "orders");
        check("java -jar /app.jar", "app");
        check("java -javaagent:/x.jar -jar billing.war", "billing");
    }

    #[test]
    fn classes_and_modules() {
        check("java -cp a:b/* com.acme.Main", "com.acme.Main");
        check(
            "java --add-opens java.base/java.lang=ALL-UNNAMED -XX:+UseZGC kafka.Kafka server.properties",
            "kafka.Kafka",
        );
        check("java -m com.acme.shop/com.acme.shop.Main", "com.acme.shop.Main");
        check("java -cp x org.apache.catalina.startup.Bootstrap start", "tomcat");
        check("java org.springframework.boot.loader.launch.JarLauncher", "orders");
        check("java Checkout.java", "Checkout");
        check("java @args com.acme.Main", "com.acme.Main");
        check("java Main", "Main");
    }

    #[test]
    fn names_given_as_properties() {
        check("java -Dotel.service.name=shop -Dspring.application.name=other -jar x.jar", "shop");
        check("java -jar x.jar --spring.application.name=shop", "shop");
    }

    #[test]
    fn nothing_to_name() {
        check("java", "unknown_service:java");
        check("java -version", "unknown_service:java");
        check("java -jar", "unknown_service:java");
    }
}
