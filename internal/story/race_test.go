//go:build race

package story

// oneOf is how many plays of a kind there are for each that is played. The race
// detector makes them eight times slower, and what it watches is alike in all of
// them; make test plays all of them without it.
const oneOf = 4

// watched is how TestStories plays a story.
var watched = half
