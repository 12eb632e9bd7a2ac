//go:build race

package control_test

// oneOf is how many deaths of a kind there are for each that is played. The race
// detector makes them many times slower; make test plays all of them without it.
const oneOf = 8
