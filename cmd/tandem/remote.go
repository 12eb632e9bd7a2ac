package main

import (
	"cmp"
	"crypto/tls"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tandem/internal/api"
	"tandem/internal/config"
)

// addServer gives a command the flags that say which server it talks to.
func addServer(cmd *cobra.Command) {
	cmd.Flags().String("server", "", "address of the function app, or TANDEM_SERVER")
	cmd.Flags().String("key", "", "function key, or TANDEM_KEY")
	cmd.Flags().String("token", "", "token of Entra ID where the app asks for a sign-in, or TANDEM_TOKEN")
}

// client makes the client of the operator API from the flags.
func (c *console) client(cmd *cobra.Command) (*api.Client, error) {
	server, _ := cmd.Flags().GetString("server") // added by addServer
	key, _ := cmd.Flags().GetString("key")       // added by addServer
	settings, err := config.LoadOperator(c.environ)
	if err != nil {
		return nil, badInput("the settings are wrong:\n%w", err)
	}
	if server = cmp.Or(server, settings.Server); server == "" {
		return nil, badInput("no server: give --server or TANDEM_SERVER, for example https://tandem-weu.azurewebsites.net")
	}
	client, err := api.NewClient(server, cmp.Or(key, settings.Key.Reveal()), &http.Client{
		Timeout: 60 * time.Second,
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
		},
	})
	if err != nil {
		return nil, err
	}
	return client.SignedIn(c.token(cmd))
}

// token is the token of Entra ID with which the server knows who calls; empty where
// there is none.
func (c *console) token(cmd *cobra.Command) string {
	token, _ := cmd.Flags().GetString("token")    // added by addServer
	settings, _ := config.LoadOperator(c.environ) // client refuses wrong ones
	return strings.TrimSpace(cmp.Or(token, settings.Token.Reveal()))
}

func (c *console) setting(name string) string {
	for _, kv := range c.environ {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			return v
		}
	}
	return ""
}

// completePairs completes names of pairs from the server.
func (c *console) completePairs(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	client, err := c.client(cmd)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	pairs, err := client.Pairs(cmd.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, p := range pairs {
		if strings.HasPrefix(p.Name, prefix) {
			names = append(names, p.Name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
