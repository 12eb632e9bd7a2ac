// Package story plays the lab's stories with the program in them: it starts the
// real handler in the simulated world, applies the story's pair file through
// the operator API, and compares what came of it with what the story expects.
//
// What a story lets happen to the program (its workers, its store, its clock, its
// operator) is done by the stage; the rest is the world's.
//
// The tests, the lab command and the documents play stories through this
// package, so they see the same. What a world is made of stands in internal/lab,
// which knows nothing of the program; how the program is assembled stands in
// internal/app.
package story
