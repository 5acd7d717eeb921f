import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;

/** java.net.http.HttpClient as it comes: the proxy and the trust store from system properties. */
public class HttpClientProgram {
    public static void main(String[] urls) throws InterruptedException {
        HttpClient client = HttpClient.newHttpClient();
        for (String url : urls) {
            try {
                var answer = client.send(HttpRequest.newBuilder(URI.create(url)).build(), BodyHandlers.discarding());
                System.out.println(answer.statusCode() + " " + url);
            } catch (IOException error) {
                System.out.println(error.getClass().getSimpleName() + " " + url + " " + error.getMessage());
            }
        }
    }
}
