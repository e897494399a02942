//! Link options of the plugin file.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let linux = std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux");
    if linux {
        // Hosts unload plugins while threads that have been in them live on. When such a thread ends, it runs the
        // destructors of the plugin's thread locals, and crashes if their code is gone. So it stays.
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
