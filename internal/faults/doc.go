// Package faults drives random sequences of all faults through the program and
// looks for a broken promise of DESIGN section 10.
//
// Its tests make stories for the lab from a seed, play them in a light world of
// in-memory adapters and in the lab's whole world, and check them with a checker
// that shares no code with what decides. A sequence that fails is made shorter
// and kept as a story in found/. What each fault means stands in internal/lab;
// how the program meets it stands in internal/control.
//
// There is nothing here for the program itself: everything but this comment is
// a test.
package faults
