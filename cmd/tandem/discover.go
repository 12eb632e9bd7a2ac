package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"tandem/internal/app"
	"tandem/internal/azure/arm"
	"tandem/internal/azure/identity"
	"tandem/internal/balancer"
	"tandem/internal/config"
	"tandem/internal/discover"
	"tandem/internal/pair"
)

// mostReadings bounds how many single resources a search reads, besides its
// lists: a pair needs about ten.
const mostReadings = 5000

func newDiscover(c *console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "discover --resource-group RG",
		Short: "Write the pair files of a deployment that exists",
		Long: `Discover reads the load balancers of a resource group and writes a pair file for
every two machines that stand alone together in their pools. At each value that
does not stand in Azure a comment says why it was chosen, and another one what is
there and cannot be said in a pair file. Read them before you apply the file.

It runs here, with your own sign-in (az login, azd auth login, or the service
principal of AZURE_CLIENT_ID), and changes nothing in Azure. You need the role
Reader on the resource group, and on the networks that its machines are in. The
cloud comes from TANDEM_CLOUD, as that of the function app does.

Standard error has what makes no pair, with the reason. Exit code 3 means that no
pair was found.`,
		Example: `  tandem discover --resource-group rg-edge --subscription 00000000-0000-0000-0000-000000000001
  tandem discover --resource-group rg-edge --vm lm1 --vm lm2 > edge-weu.yaml
  tandem discover --resource-group rg-edge --dir pairs -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.discover(cmd) },
	}
	cmd.Flags().StringP("resource-group", "g", "", "resource group of the machines and the load balancers")
	cmd.Flags().String("subscription", "", "id of its subscription, or AZURE_SUBSCRIPTION_ID")
	cmd.Flags().StringArray("vm", nil, "only the pair of these machines: give it twice, the first unit and then the second one")
	cmd.Flags().String("tenant", "", "tenant to sign in to, where you are in several")
	cmd.Flags().String("dir", "", "directory for the files, NAME.yaml for each pair, instead of standard output")
	cmd.Flags().Bool("force", false, "overwrite files in --dir")
	_ = cmd.MarkFlagDirname("dir") // the flag was just added
	addOutput(cmd)
	return cmd
}

// discoveredPair is the JSON form of one pair that was found.
type discoveredPair struct {
	Name string `json:"name"`
	// File is the pair file itself, and Path where it was written to, with --dir.
	File    string           `json:"file"`
	Path    string           `json:"path,omitempty"`
	Guesses []discover.Guess `json:"guesses"`
	Notes   []discover.Note  `json:"notes"`
}

// discovered is the JSON form of the command's answer.
type discovered struct {
	Pairs   []discoveredPair   `json:"pairs"`
	Skipped []discover.Skipped `json:"skipped"`
}

func (c *console) discover(cmd *cobra.Command) error {
	s, err := c.searchOf(cmd)
	if err != nil {
		return err
	}
	dir, _ := cmd.Flags().GetString("dir") // added by newDiscover, like the next one
	force, _ := cmd.Flags().GetBool("force")
	if force && dir == "" {
		return badInput("--force: expected --dir with it, the directory in which files may be overwritten")
	}
	client, err := c.azure(cmd, &s)
	if err != nil {
		return err
	}
	found, err := survey(cmd.Context(), client, s)
	if err != nil {
		return err
	}
	out := discovered{Pairs: []discoveredPair{}, Skipped: append([]discover.Skipped{}, found.Skipped...)}
	for _, p := range found.Pairs {
		one := discoveredPair{p.Name, string(p.File), "", append([]discover.Guess{}, p.Guesses...), append([]discover.Note{}, p.Notes...)}
		if dir != "" {
			one.Path = filepath.Join(dir, p.Name+".yaml")
		}
		out.Pairs = append(out.Pairs, one)
	}
	if dir != "" {
		if err := writeFiles(dir, out.Pairs, force); err != nil {
			return err
		}
	}
	return c.tellDiscovered(cmd, out, s.ResourceGroup)
}

// searchOf makes a search of the flags.
func (c *console) searchOf(cmd *cobra.Command) (discover.Search, error) {
	group, _ := cmd.Flags().GetString("resource-group") // added by newDiscover, like the next two
	subscription, _ := cmd.Flags().GetString("subscription")
	vms, _ := cmd.Flags().GetStringArray("vm")
	s := discover.Search{Subscription: cmp.Or(subscription, c.setting("AZURE_SUBSCRIPTION_ID")), ResourceGroup: group}
	switch {
	case group == "":
		return s, badInput("no resource group: give one with --resource-group")
	case s.Subscription == "":
		return s, badInput("no subscription: give its id with --subscription or AZURE_SUBSCRIPTION_ID; az account show --query id tells that of your sign-in")
	case len(s.Subscription) != 36 || uuid.Validate(s.Subscription) != nil:
		return s, badInput("--subscription %q: expected the subscription's id, a UUID", s.Subscription)
	case len(vms) == 0:
		return s, nil
	case len(vms) != 2 || vms[0] == "" || vms[1] == "" || strings.EqualFold(vms[0], vms[1]):
		return s, badInput("--vm: expected two machines, the first unit and the second one, or none")
	}
	s.VMs = [2]string{vms[0], vms[1]}
	return s, nil
}

// azure makes the client of Resource Manager from the settings that serve has
// too, but for the person at this command line, and tells the search where Tandem
// is, if it is set.
func (c *console) azure(cmd *cobra.Command, s *discover.Search) (*arm.Client, error) {
	// No state is kept, so it need not be said where.
	settings, err := config.Load(append(slices.Clip(c.environ), "TANDEM_STORE=embedded"))
	if err != nil {
		return nil, badInput("the settings are wrong:\n%w", err)
	}
	options, err := app.FromSettings(settings, c.worker(), slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	tenant, _ := cmd.Flags().GetString("tenant") // added by newDiscover
	credential, err := identity.New(identity.Options{Source: identity.Person, Cloud: options.Cloud, TenantID: tenant, Transport: options.Client})
	if err != nil {
		return nil, err
	}
	s.Surroundings = options.Surroundings
	return arm.New(arm.Options{Cloud: options.Cloud, Credential: credential, Transport: options.Client, Seed: uint64(time.Now().UnixNano())})
}

// survey reads what a search needs, and searches.
func survey(ctx context.Context, client *arm.Client, s discover.Search) (discover.Found, error) {
	w := make(balancer.World)
	for _, kind := range discover.Kinds() {
		listed, err := client.List(ctx, s.Subscription, s.ResourceGroup, kind)
		if err == nil {
			err = discover.Add(w, listed)
		}
		if err != nil {
			return discover.Found{}, err
		}
	}
	s.Refused = make(map[pair.ResourceID]string)
	for readings := 0; ; {
		missing := s.Reads(w)
		if len(missing) == 0 {
			return s.Find(w), nil
		}
		if readings += len(missing); readings > mostReadings {
			return discover.Found{}, fmt.Errorf("search resource group %s: %w: more than %d resources belong to its load balancers; name one pair with --vm", s.ResourceGroup, pair.ErrTooLarge, mostReadings)
		}
		for _, id := range missing {
			doc, _, err := client.Read(ctx, id)
			switch {
			case err == nil, errors.Is(err, pair.ErrNotFound):
				w[id] = doc
			case errors.Is(err, pair.ErrRefused), errors.Is(err, pair.ErrInvalid), errors.Is(err, pair.ErrUnreadable):
				s.Refused[id] = err.Error()
			default:
				return discover.Found{}, err
			}
		}
	}
}

// writeFiles writes each pair's file, or none where one is there already.
func writeFiles(dir string, pairs []discoveredPair, force bool) error {
	mode := os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	if !force {
		mode = os.O_WRONLY | os.O_CREATE | os.O_EXCL
		for _, p := range pairs {
			if _, err := os.Lstat(p.Path); err == nil {
				return badInput("%s exists: give --force to overwrite it, or another --dir", p.Path)
			}
		}
	}
	if len(pairs) == 0 {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the directory for pair files: %w", err)
	}
	for _, p := range pairs {
		f, err := os.OpenFile(p.Path, mode, 0o644)
		if err == nil {
			_, err = f.WriteString(p.File)
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			return fmt.Errorf("write the pair file of %s: %w", p.Name, err)
		}
	}
	return nil
}

// tellDiscovered prints what was found, and what was not.
func (c *console) tellDiscovered(cmd *cobra.Command, out discovered, group string) error {
	none := &exitError{code: exitFound}
	if output(cmd) == "json" {
		if err := writeJSON(c.out, out); err != nil {
			return err
		}
		if len(out.Pairs) == 0 {
			return none
		}
		return nil
	}
	for i, p := range out.Pairs {
		switch {
		case p.Path != "":
			fmt.Fprintf(c.out, "pair %s written to %s: %d guesses and %d notes to read in it\n", p.Name, p.Path, len(p.Guesses), len(p.Notes))
			continue
		case i > 0:
			fmt.Fprintln(c.out, "---")
		}
		fmt.Fprint(c.out, p.File)
	}
	for _, s := range out.Skipped {
		fmt.Fprintf(c.err, "skipped: %s: %s\n", s.Resource, s.Why)
	}
	if len(out.Pairs) == 0 {
		fmt.Fprintf(c.err, "no pair was found in the resource group %s\n", group)
		return none
	}
	return nil
}
