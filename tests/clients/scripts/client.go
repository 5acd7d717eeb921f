// net/http: the default transport takes the proxy from the environment, a transport of one's own takes none.
package main

import (
	"fmt"
	"net/http"
	"os"
)

func main() {
	client := http.DefaultClient
	if os.Args[1] == "own-transport" {
		client = &http.Client{Transport: &http.Transport{}}
	}
	for _, url := range os.Args[2:] {
		answer, err := client.Get(url)
		if err != nil {
			fmt.Println("Error", url, err)
			continue
		}
		answer.Body.Close()
		fmt.Println(answer.StatusCode, url)
	}
}
