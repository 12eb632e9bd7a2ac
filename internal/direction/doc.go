// Package direction keeps the directions of imports true. It holds only tests:
// the rules of the layout with the reason of each, checked over the whole
// import graph as the go command sees it, and over what reads the environment.
//
// The linters check the direct imports too, while code is written
// (.golangci.yml); a path through other packages only shows here.
package direction
