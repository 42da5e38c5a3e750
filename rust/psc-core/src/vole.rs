//! Silent vector oblivious linear evaluation over GF(2^128).
