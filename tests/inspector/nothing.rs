//! There is nothing here: a package has to have a target that is no test.
