//go:build !race

package control_test

// oneOf is how many deaths of a kind there are for each that is played.
const oneOf = 1
