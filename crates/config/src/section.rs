//! The table from which a section of the configuration is made.
//!
//! A section is written once, as a list of keys with Rust field, type and default. From this the macro makes the
//! struct, its defaults, the strict reader and the printer, so that these four cannot drift apart:
//!
//! ```text
//! section! {
//!     /// What the section is for.
//!     pub struct StorageConfig as "config.StorageConfig" {
//!         omit tsdb: Option<TsdbConfig>;             // printed unless zero
//!         keep port: i64 = 80;                       // always printed
//!         path query_log_file: String;               // a file name, relative to the configuration file
//!         keep_path kubeconfig_file: String;         // the same, always printed
//!         omit kind as "type": String;               // the key differs from the field
//!         inline http: HttpClientConfig;             // its keys stand among this section's own
//!     }
//! }
//! ```
//!
//! The quoted name is Go's, because Prometheus prints it: `field x not found in type config.plain`. `checked` marks
//! a section with a check of its own, which runs once all keys were read without type errors.

use std::fmt::Debug;

use crate::error::Problem;
use crate::yaml::decode::Decoder;
use crate::yaml::emit::PrintedValue;
use crate::yaml::tree::NodeId;

/// What the macro implements for every section; `Value` follows from it.
pub(crate) trait Section: Default + Debug {
    /// Go's name of the type while its keys are read.
    const GO_READ_TYPE: &'static str;
    /// Every field at Go's zero value.
    fn all_zero() -> Self;
    /// Reads one key; `false` when the section has no such key.
    fn set(&mut self, key: &str, value: NodeId, d: &mut Decoder<'_>) -> Result<bool, Problem>;
    /// Adds the keys of the section.
    fn add_keys(keys: &mut Vec<&'static str>);
    /// Whether every field is zero.
    fn fields_are_zero(&self) -> bool;
    /// Adds the printed fields.
    fn print_fields(&self, out: &mut Vec<(String, PrintedValue)>);
    /// Joins file names with the configuration file's directory.
    fn join_fields(&mut self, dir: &str);
    /// The section's own check, once its keys are read.
    fn check_section(&mut self) -> Result<(), Problem>;
}

macro_rules! section {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident as $go:literal $(read as $read:literal)? $(, $checked:ident)? {
            $($(#[$fmeta:meta])* $kind:ident $field:ident $(as $key:literal)? : $ty:ty $(= $default:expr)?;)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        $vis struct $name {
            $(
                #[doc = concat!("Key `", $crate::section::key!($field $($key)?), "`.")]
                $(#[$fmeta])*
                pub $field: $ty,
            )*
        }

        impl Default for $name {
            fn default() -> Self {
                $name { $($field: $crate::section::default!($ty $(, $default)?),)* }
            }
        }

        impl $crate::section::Section for $name {
            const GO_READ_TYPE: &'static str = $crate::section::read_type!($go $(, $read)?);

            fn all_zero() -> Self {
                $name { $($field: <$ty as $crate::yaml::decode::Value>::zero(),)* }
            }

            #[allow(unused_variables, reason = "a section may have no keys of its own")]
            fn set(
                &mut self,
                key: &str,
                value: $crate::yaml::tree::NodeId,
                d: &mut $crate::yaml::decode::Decoder<'_>,
            ) -> Result<bool, $crate::error::Problem> {
                $($crate::section::set!($kind, self.$field, $crate::section::key!($field $($key)?), key, value, d);)*
                Ok(false)
            }

            #[allow(unused_variables, reason = "a section may have no keys of its own")]
            fn add_keys(keys: &mut Vec<&'static str>) {
                $($crate::section::add_key!($kind, $ty, $crate::section::key!($field $($key)?), keys);)*
            }

            fn fields_are_zero(&self) -> bool {
                true $(&& $crate::yaml::decode::Value::is_zero(&self.$field))*
            }

            fn print_fields(&self, out: &mut Vec<(String, $crate::yaml::emit::PrintedValue)>) {
                $($crate::section::print!($kind, self.$field, $crate::section::key!($field $($key)?), out);)*
            }

            #[allow(unused_variables, reason = "a section may hold no file names")]
            fn join_fields(&mut self, dir: &str) {
                $($crate::section::join!($kind, self.$field, dir);)*
            }

            fn check_section(&mut self) -> Result<(), $crate::error::Problem> {
                $crate::section::check!(self $(, $checked)?)
            }
        }

        impl $crate::yaml::decode::Value for $name {
            fn zero() -> Self {
                <Self as $crate::section::Section>::all_zero()
            }

            fn decode(
                &mut self,
                id: $crate::yaml::tree::NodeId,
                d: &mut $crate::yaml::decode::Decoder<'_>,
            ) -> Result<(), $crate::error::Problem> {
                $crate::section::decode_section(self, id, d)
            }

            fn go_type() -> String {
                $go.to_owned()
            }

            fn is_zero(&self) -> bool {
                $crate::section::Section::fields_are_zero(self)
            }

            fn print(&self) -> $crate::yaml::emit::PrintedValue {
                let mut out = Vec::new();
                $crate::section::Section::print_fields(self, &mut out);
                $crate::yaml::emit::PrintedValue::Map(out)
            }

            fn join_directory(&mut self, dir: &str) {
                $crate::section::Section::join_fields(self, dir);
            }
        }
    };
}

/// Reads a mapping into a section: defaults, then keys, then the section's check.
pub(crate) fn decode_section<S: Section>(
    section: &mut S,
    id: NodeId,
    d: &mut Decoder<'_>,
) -> Result<(), Problem> {
    *section = S::default();
    let before = d.errors();
    d.fields(id, S::GO_READ_TYPE, &mut |key, value, d| {
        let is_known = section.set(key, value, d)?;
        if !is_known {
            let mut keys = Vec::new();
            S::add_keys(&mut keys);
            d.suggest(key, &keys);
        }
        Ok(is_known)
    })?;
    if d.errors() > before {
        return Ok(());
    }
    section.check_section().map_err(|problem| d.below(problem))
}

macro_rules! key {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $key:literal) => {
        $key
    };
}

macro_rules! read_type {
    ($go:literal) => {
        $go
    };
    ($go:literal, $read:literal) => {
        $read
    };
}

macro_rules! default {
    ($ty:ty) => {
        <$ty>::default()
    };
    ($ty:ty, $default:expr) => {
        $default
    };
}

macro_rules! set {
    (inline, $self:ident . $field:ident, $name:expr, $key:ident, $value:ident, $d:ident) => {
        if $crate::section::Section::set(&mut $self.$field, $key, $value, $d)? {
            return Ok(true);
        }
    };
    ($kind:ident, $self:ident . $field:ident, $name:expr, $key:ident, $value:ident, $d:ident) => {
        if $key == $name {
            return $d.read(&mut $self.$field, $value).map(|()| true);
        }
    };
}

macro_rules! add_key {
    (inline, $ty:ty, $name:expr, $keys:ident) => {
        <$ty as $crate::section::Section>::add_keys($keys)
    };
    ($kind:ident, $ty:ty, $name:expr, $keys:ident) => {
        $keys.push($name)
    };
}

macro_rules! print {
    (inline, $self:ident . $field:ident, $name:expr, $out:ident) => {
        $crate::section::Section::print_fields(&$self.$field, $out)
    };
    (keep, $self:ident . $field:ident, $name:expr, $out:ident) => {
        $out.push(($name.to_owned(), $crate::yaml::decode::Value::print(&$self.$field)))
    };
    (keep_path, $self:ident . $field:ident, $name:expr, $out:ident) => {
        $out.push(($name.to_owned(), $crate::yaml::decode::Value::print(&$self.$field)))
    };
    ($kind:ident, $self:ident . $field:ident, $name:expr, $out:ident) => {
        if !$crate::yaml::decode::Value::is_zero(&$self.$field) {
            $out.push(($name.to_owned(), $crate::yaml::decode::Value::print(&$self.$field)));
        }
    };
}

macro_rules! join {
    (path, $self:ident . $field:ident, $dir:ident) => {
        $crate::files::join_path($dir, &mut $self.$field)
    };
    (keep_path, $self:ident . $field:ident, $dir:ident) => {
        $crate::files::join_path($dir, &mut $self.$field)
    };
    ($kind:ident, $self:ident . $field:ident, $dir:ident) => {
        $crate::yaml::decode::Value::join_directory(&mut $self.$field, $dir)
    };
}

macro_rules! check {
    ($self:ident) => {
        Ok(())
    };
    ($self:ident, checked) => {
        $self.check()
    };
}

pub(crate) use {add_key, check, default, join, key, print, read_type, section, set};
