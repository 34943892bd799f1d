#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dm_tests::fuzz::iscsi::conversation(data));
