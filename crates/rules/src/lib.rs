//! Rule groups, recording and alerting rules, alert state.
